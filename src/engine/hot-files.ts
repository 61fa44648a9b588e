/**
 * The files from which a worker reads a range of the hot log: closed segments as they are where the range takes them
 * whole, copies of exact byte ranges otherwise. A copy is needed for the open segment, whose end may be a frame that
 * is still being written, for a segment that failed to sync, after whose valid length there are bytes that are no
 * part of the log, and at the ends of a range. State: the copies, in a folder that the caller removes.
 */

import { join } from 'node:path'
import { createLogReader } from '../log/reader.ts'
import type { LogManifest } from '../log/types.ts'
import type { CommitRange } from '../model/cut.ts'
import { realFiles } from '../std/files.ts'
import { copyRange } from './tick-source.ts'

export interface HotFile extends CommitRange {
  readonly path: string
  readonly bytes: number
  /** The open segment where it is, for who leaves out what is after the range and a line that is being written. */
  readonly growing?: boolean
  /** Events per stream, known when the file is a whole segment. */
  readonly events?: Readonly<Record<string, number>>
}

/** Files that together hold the commits of the range and no others, in order. */
export async function hotFilesOf(
  log: LogManifest,
  range: CommitRange,
  copyDir: string,
  options: { readonly growing?: boolean } = {},
): Promise<readonly HotFile[]> {
  if (range.to <= range.from) return []
  const files: HotFile[] = []
  for (const part of await createLogReader().byteRanges(log, range)) {
    const segment = log.segments.find(({ number }) => number === part.segment)
    const whole = segment !== undefined && part.start === segment.start && part.end === segment.bytes
    if (options.growing === true && segment?.closed === false && part.start === segment.start) {
      files.push({
        path: part.path,
        from: part.from,
        to: part.to,
        bytes: part.end - part.start,
        growing: true,
      })
      continue
    }
    const size = await realFiles.size(part.path)
    const asIs = whole && segment.closed && size === segment.bytes
    const path = asIs ? part.path : join(copyDir, `hot-${part.from}-${part.to}.ndjson`)
    if (!asIs) await copyRange(part, path)
    files.push({
      path,
      from: part.from,
      to: part.to,
      bytes: part.end - part.start,
      ...(whole ? { events: segment.events } : {}),
    })
  }
  return files
}
