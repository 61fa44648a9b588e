/**
 * What answers showed since the journal was last written to the catalog, in a file beside it: an entry is in the file
 * before its answer leaves, so a killed process loses none. State: the open file and the version set of its last line.
 *
 *     [µs, cut, {stalled view: cut} or null, {view: version} or null, {view: T} or null]\n
 *
 * where null means the same as in the line before.
 *
 * Nothing here is synced; the catalog is, about a second later. A line that is cut short by a power failure ends the
 * reading.
 */

import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { ReportEntry } from '../../catalog/reports.ts'

type Line = readonly [
  number,
  number,
  ReportEntry['stalledAt'] | null,
  ReportEntry['versions'] | null,
  (ReportEntry['batches'] | null)?,
]

export interface ReportTail {
  /** Entries that a process before this one did not write to the catalog. */
  read(): readonly ReportEntry[]
  append(entry: ReportEntry): void
  /** The catalog has everything. */
  clear(): void
  close(): void
}

export function openReportTail(folder: string): ReportTail {
  const path = join(folder, 'reports.tail')
  const file = openSync(path, 'a')
  let last: ReportEntry | undefined
  return {
    read() {
      const entries: ReportEntry[] = []
      for (const text of readFileSync(path, 'utf8').split('\n')) {
        const line = parsed(text)
        const before = entries.at(-1)
        if (line === undefined) break
        const [us, cut, stalledAt, versions, batches] = line
        entries.push({
          us,
          cut,
          stalledAt: stalledAt ?? before?.stalledAt ?? {},
          versions: versions ?? before?.versions ?? {},
          batches: batches ?? before?.batches ?? {},
        })
      }
      return entries
    },
    append(entry) {
      const { us, cut, stalledAt, versions, batches } = entry
      const line: Line = [
        us,
        cut,
        last?.stalledAt === stalledAt ? null : stalledAt,
        last?.versions === versions ? null : versions,
        last?.batches === batches ? null : batches,
      ]
      try {
        writeSync(file, `${JSON.stringify(line)}\n`)
        last = entry
      } catch {
        // A full disk keeps no answer back: the entry is in memory, and goes to the catalog when there is room.
      }
    },
    clear() {
      ftruncateSync(file, 0)
      last = undefined
    },
    close: () => closeSync(file),
  }
}

function parsed(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line
  } catch {
    return undefined
  }
}
