/**
 * Retention as a policy: how much of the hot log and of a stream's lake goes now, where a trim may stand, and which
 * small lake files are merged. Pure functions over what the server measured; who acts on them is `server/lake/`.
 *
 * A trim stands at a border of lake files and is rounded down to one, so that it never takes more than was asked for.
 */

import type { CommitSeq } from '../model/cut.ts'
import type { RetentionDef, StreamDef } from '../model/schema.ts'

/** How long moved segments stay: they hold events of all streams, so the longest wish of any stream wins. */
export function hotRetentionMs(streams: readonly StreamDef[]): number {
  return Math.max(0, ...streams.map((stream) => stream.retention?.hotMs ?? 0))
}

export interface MovedSegment {
  readonly last: CommitSeq
  /** Since its last commit. */
  readonly ageMs: number
}

/** The cut up to which segments that the lake holds may be deleted; they go from the oldest on. */
export function hotDropCut(moved: readonly MovedSegment[], hotMs: number): CommitSeq {
  let cut = 0
  for (const { last, ageMs } of moved) {
    if (ageMs < hotMs) break
    cut = last
  }
  return cut
}

export interface KeptFile {
  readonly from: CommitSeq
  readonly to: CommitSeq
  readonly bytes: number
  /** Ingest time of its last event. */
  readonly lastMs: number
}

/** The border up to which the policy lets a stream's files go now, oldest first; 0 when all stay. */
export function retainedFrom(
  policy: NonNullable<RetentionDef['lake']>,
  files: readonly KeptFile[],
  nowMs: number,
): CommitSeq {
  let left = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let cut = 0
  for (const { to, bytes, lastMs } of files) {
    const isOld = policy.ageMs !== undefined && nowMs - lastMs > policy.ageMs
    const isTooMuch = policy.bytes !== undefined && left > policy.bytes
    if (!isOld && !isTooMuch) break
    left -= bytes
    cut = to
  }
  return cut
}

/** Where a person's trim stands: the last border of the stream's files at or before the cut or the time asked for. */
export function trimBorder(
  files: readonly KeptFile[],
  asked: { readonly cut: CommitSeq } | { readonly timeMs: number },
): CommitSeq {
  let border = 0
  for (const { to, lastMs } of files) {
    if ('cut' in asked ? to > asked.cut : lastMs >= asked.timeMs) break
    border = to
  }
  return border
}

export interface LakeMergePolicy {
  /** A merged file is about this large at most. */
  readonly targetBytes: number
  readonly targetRows: number
  /** Fewer neighbours than this are not worth a worker. */
  readonly filesMin: number
  /** And no more than this at once: each is an open file. */
  readonly filesMax: number
}

export const lakeMergePolicy: LakeMergePolicy = {
  targetBytes: 256 << 20,
  targetRows: 10_000_000,
  filesMin: 8,
  filesMax: 64,
}

export interface MergeableFile extends KeptFile {
  readonly rows: number
  /** Names of its columns in one order; only files with the same are merged, so that no value changes its name. */
  readonly columns: string
}

/** A stream's ages limit how long a merged file may span: a trim takes whole files. */
const SPANS_PER_RETENTION = 20
/** Files count as equally large within this factor, so that a row is rewritten once for each such growth. */
const LEVEL_FACTOR = 8
const LEVEL_BYTES = 64 << 10
/** What comes out of a merge is so many times as large as the largest file that went in. */
const GROWTH_MIN = 4

/** Which neighbouring files of one stream are merged next; undefined when there are few enough. */
export function chooseLakeMerge(
  files: readonly MergeableFile[],
  policy: LakeMergePolicy = lakeMergePolicy,
  retentionMs: number = Number.POSITIVE_INFINITY,
): { readonly first: number; readonly count: number } | undefined {
  const spanMs = retentionMs / SPANS_PER_RETENTION
  const levels = [...new Set(files.map(levelOf))].sort((a, b) => a - b)
  for (const level of levels) {
    for (let first = 0; first < files.length; first++) {
      const count = runLength(files, first, level, policy, spanMs)
      if (count >= policy.filesMin && isWorthIt(files.slice(first, first + count))) return { first, count }
    }
  }
  return undefined
}

/** How many files from `first` on are at most of this level and make one file within the policy. */
function runLength(
  files: readonly MergeableFile[],
  first: number,
  level: number,
  policy: LakeMergePolicy,
  spanMs: number,
): number {
  const begin = files[first]
  let bytes = 0
  let rows = 0
  let count = 0
  for (const file of files.slice(first, first + policy.filesMax)) {
    bytes += file.bytes
    rows += file.rows
    const fits = bytes <= policy.targetBytes && rows <= policy.targetRows
    const isNear = file.lastMs - (begin?.lastMs ?? 0) <= spanMs
    if (!fits || !isNear || levelOf(file) > level || file.columns !== begin?.columns) break
    count++
  }
  return count
}

/** A large file is not written again for a few small ones: what is merged grows by a factor, or is small anyway. */
function isWorthIt(files: readonly KeptFile[]): boolean {
  const largest = Math.max(...files.map(({ bytes }) => bytes))
  return largest <= LEVEL_BYTES || files.reduce((sum, { bytes }) => sum + bytes, 0) >= GROWTH_MIN * largest
}

function levelOf({ bytes }: KeptFile): number {
  return Math.max(0, Math.ceil(Math.log(Math.max(1, bytes) / LEVEL_BYTES) / Math.log(LEVEL_FACTOR)))
}
