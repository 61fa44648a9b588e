/**
 * Checks the lake against the catalog and the log: files missing, damaged or too many; rows of each file; offsets dense
 * from where the stream begins, across files, up to where the hot log goes on. It changes nothing. No state.
 */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type LakeFileRow, lakeLeftovers, lakeManifest } from '../../catalog/lake.ts'
import { trims } from '../../catalog/trims.ts'
import { checkLake } from '../../lake/manifest.ts'
import type { Offset } from '../../model/cut.ts'
import type { LakeCheckAnswer, LakeCheckFault } from '../../serve/core-lake.ts'
import type { ServerContext } from '../context.ts'

export async function checkServerLake(context: ServerContext): Promise<LakeCheckAnswer> {
  const { catalog, pins, publications } = context
  const { release } = pins.pin()
  try {
    // Between two publications every file in the folder is listed, or remembered as one that goes.
    const { manifest, extra } = await publications.run(async () => ({
      manifest: lakeManifest(catalog),
      extra: await extraFiles(context),
    }))
    const files = await checkLake(manifest, [])
    const broken = new Set(files.map(({ path }) => path))
    const whole = manifest.files.filter(({ path }) => !broken.has(path))
    const faults: LakeCheckFault[] = [
      ...files.map(({ kind, path }) => {
        const stream = manifest.files.find((file) => file.path === path)?.stream ?? ''
        const what = kind === 'missing' ? 'is missing' : 'does not match its checksum'
        return { kind, stream, path, text: `lake file "${path}" of stream "${stream}" ${what}` }
      }),
      ...extra.map((path) => ({
        ...{ kind: 'extra' as const, path },
        text: `"${path}" lies in the lake and is not listed`,
      })),
      ...(await rowFaults(context, whole)),
      ...offsetFaults(context, manifest.files),
      ...(await handOverFaults(context, manifest)),
    ]
    return {
      through: manifest.through,
      files: manifest.files.length,
      bytes: manifest.files.reduce((sum, { bytes }) => sum + bytes, 0),
      rows: manifest.files.reduce((sum, { rows }) => sum + rows, 0),
      faults,
    }
  } finally {
    release()
  }
}

/** Called between two publications. */
async function extraFiles({ catalog, folder }: ServerContext): Promise<readonly string[]> {
  const known = new Set([...lakeManifest(catalog).files.map(({ path }) => path), ...lakeLeftovers(catalog)])
  const entries = await readdir(folder.lake, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !known.has(path))
    .sort()
}

async function rowFaults(
  { lakeEvents }: ServerContext,
  files: readonly LakeFileRow[],
): Promise<readonly LakeCheckFault[]> {
  const faults: LakeCheckFault[] = []
  for (const { path, stream, rows } of files) {
    const found = await lakeEvents.countRows(path)
    if (found === rows) continue
    const text = `lake file "${path}" of stream "${stream}" holds ${found} events, not ${rows}`
    faults.push({ kind: 'rows', stream, path, text })
  }
  return faults
}

/** In each partition every file goes on where the one before it, or the trim, ended. */
function offsetFaults({ catalog }: ServerContext, files: readonly LakeFileRow[]): readonly LakeCheckFault[] {
  const ends = new Map<string, readonly Offset[]>(trims(catalog).map((trim) => [trim.stream, trim.offsets]))
  const faults: LakeCheckFault[] = []
  for (const file of [...files].sort((a, b) => a.from - b.from)) {
    const { stream, path, offsets, rows } = file
    const before = ends.get(stream) ?? []
    const fault = (text: string) => faults.push({ kind: 'offsets', stream, path, text })
    offsets.forEach(({ from }, partition) => {
      const expected = before[partition] ?? 0
      if (from === expected) return
      fault(`lake file "${path}": partition ${partition} begins at offset ${from}, not ${expected}`)
    })
    const within = offsets.reduce((sum, { from, to }) => sum + to - from, 0)
    if (within !== rows) fault(`lake file "${path}" lists ${rows} events in ${within} offsets`)
    ends.set(
      stream,
      offsets.map(({ to }) => to),
    )
  }
  return faults
}

/** The hot log begins at or before the lake's end, and its offsets there are the ones at which the lake ends. */
async function handOverFaults(
  { log, reader, catalog }: ServerContext,
  { through, files }: { readonly through: number; readonly files: readonly LakeFileRow[] },
): Promise<readonly LakeCheckFault[]> {
  const manifest = log.manifest()
  const begin = manifest.segments[0]?.base ?? 0
  if (begin > through) {
    const text = `the lake ends at cut ${through}, and the hot log begins after cut ${begin}`
    return [{ kind: 'hand-over', text }]
  }
  const { offsets } = await reader.begin(manifest)
  const hot: Record<string, readonly Offset[]> = { ...offsets }
  for await (const header of reader.headers(manifest, { from: begin, to: through })) {
    Object.assign(hot, header.offsets)
  }
  const cold = new Map<string, readonly Offset[]>(trims(catalog).map((trim) => [trim.stream, trim.offsets]))
  for (const file of [...files].sort((a, b) => a.from - b.from)) {
    cold.set(
      file.stream,
      file.offsets.map(({ to }) => to),
    )
  }
  return Object.entries(hot).flatMap(([stream, ends]) =>
    ends.flatMap((end, partition): LakeCheckFault[] => {
      const reached = cold.get(stream)?.[partition] ?? 0
      if (reached === end) return []
      const text = `stream "${stream}" partition ${partition}: the lake ends at offset ${reached}, the hot log goes on at ${end}`
      return [{ kind: 'hand-over', stream, text }]
    }),
  )
}
