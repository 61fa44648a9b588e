/**
 * What can be told from a lake manifest alone, and whether the files are as it says. The functions on manifests are
 * pure; `checkLake` reads the files, and changes nothing.
 *
 * Invariant of a manifest that may be published: per stream the files' ranges do not overlap, none reaches beyond
 * `through`, and in each partition every file goes on with the offset at which the one before it ended. A stream may
 * have no file for a range in which nothing came, so ranges may have gaps; offsets may not.
 */

import type { CommitRange } from '../model/cut.ts'
import { type FileSum, sumFile } from '../std/file-sum.ts'
import { errnoOf, type Files, realFiles } from '../std/files.ts'
import { overlaps } from './relation.ts'
import type { LakeFile, LakeManifest } from './types.ts'

/** A stream's files that hold events of the range, oldest first. */
export function filesInRange(
  manifest: LakeManifest,
  stream: string,
  range: CommitRange,
): readonly LakeFile[] {
  return manifest.files
    .filter((file) => file.stream === stream && overlaps(file, range))
    .sort((a, b) => a.from - b.from)
}

/** The manifest with the files of the next sealed range. */
export function extendManifest(manifest: LakeManifest, next: LakeManifest): LakeManifest {
  return { through: next.through, files: [...manifest.files, ...next.files] }
}

/** What is wrong with a manifest, as sentences; empty when it may be published. */
export function manifestFaults(manifest: LakeManifest): readonly string[] {
  const faults: string[] = []
  const ends = new Map<string, { commit: number; offsets: number[] }>()
  for (const file of [...manifest.files].sort((a, b) => a.from - b.from)) {
    const name = `stream "${file.stream}" (${file.from}, ${file.to}]`
    if (file.to <= file.from) faults.push(`${name} is empty`)
    if (file.to > manifest.through) faults.push(`${name} reaches beyond cut ${manifest.through}`)
    const end = ends.get(file.stream) ?? { commit: 0, offsets: [] }
    if (file.from < end.commit) faults.push(`${name} overlaps what ends at cut ${end.commit}`)
    file.offsets.forEach(({ from }, partition) => {
      const expected = end.offsets[partition] ?? 0
      if (from !== expected)
        faults.push(`${name} partition ${partition} begins at offset ${from}, not ${expected}`)
    })
    const rows = file.offsets.reduce((sum, { from, to }) => sum + to - from, 0)
    if (rows !== file.rows) faults.push(`${name} has ${file.rows} rows in ${rows} offsets`)
    ends.set(file.stream, { commit: file.to, offsets: file.offsets.map(({ to }) => to) })
  }
  return faults
}

export interface LakeFault {
  readonly kind: 'missing' | 'damaged' | 'extra'
  readonly path: string
}

/** Compares the files with the manifest: those missing, those whose bytes differ, and those that nobody lists. */
export async function checkLake(
  manifest: LakeManifest,
  folders: readonly string[],
  files: Files = realFiles,
): Promise<readonly LakeFault[]> {
  const faults: LakeFault[] = []
  for (const { path, bytes, checksum } of manifest.files) {
    const found = await sumOf(path, files)
    if (found === undefined) faults.push({ kind: 'missing', path })
    else if (found.bytes !== bytes || found.checksum !== checksum) faults.push({ kind: 'damaged', path })
  }
  const listed = new Set(manifest.files.map(({ path }) => path))
  for (const folder of folders) {
    for (const name of await namesIn(folder, files)) {
      const path = `${folder}/${name}`
      if (!listed.has(path)) faults.push({ kind: 'extra', path })
    }
  }
  return faults
}

async function sumOf(path: string, files: Files): Promise<FileSum | undefined> {
  try {
    return await sumFile(path, files)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function namesIn(folder: string, files: Files): Promise<readonly string[]> {
  return (await files.size(folder)) === undefined ? [] : files.readdir(folder)
}
