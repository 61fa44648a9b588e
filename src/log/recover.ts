/**
 * Starting from what a data folder holds after a crash: reads and checks every hot segment, rebuilds the state, and
 * brings the last segment to a form that can be appended to. No state.
 *
 * What may be wrong without harm is only this: bytes of an earlier segment beyond the length that the next one's
 * first line states (they failed to sync), one torn frame at the very end (one frame is written at a time, and it is
 * acknowledged after its sync), and a last file whose first line is torn (nothing is written behind it before it is
 * synced). Those bytes are kept in `lost+found/` and cut. Everything else that does not check was acknowledged, and
 * the start is refused with file and byte.
 *
 * The last frame may have been read from the page cache although it never reached the disk: after a sync that
 * failed, the pages count as clean, and another sync would succeed without writing them. So the last frame is
 * written once more where it stands, and synced, before anything is built on it.
 */

import { join } from 'node:path'
import type { CommitSeq } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { must } from '../std/assert.ts'
import { type FileHandle, type Files, readFully, writeAll } from '../std/files.ts'
import type { CrashHook } from './crash-point.ts'
import { sidecarNumber } from './dedupe-sidecar.ts'
import type { DedupeStore } from './dedupe-store.ts'
import { decodeSegmentHeader, type SegmentHeader, type StateValues, segmentNumber } from './frame.ts'
import { findFrameAfter } from './frame-search.ts'
import { BadFrame, readFirstLine, walkFrames } from './frame-walk.ts'
import { withHeader } from './log-state.ts'
import { corruptAt, withFile } from './segment-index.ts'
import { acceptedOf, type CurrentSegment, infoOf } from './segment-writer.ts'
import type { SegmentInfo } from './types.ts'

export interface RecoverOptions {
  readonly dir: string
  readonly lostFoundDir: string
  readonly files: Files
  readonly crash: CrashHook
  /** A commit that is known to be acknowledged, from elsewhere. */
  readonly journaled: CommitSeq
  /** The lake holds everything up to this cut, so segments up to there may be missing. */
  readonly lakeThrough: CommitSeq | undefined
  readonly dedupe: DedupeStore
}

export interface Recovered {
  readonly commit: CommitSeq
  readonly state: StateValues
  readonly closed: readonly SegmentInfo[]
  /** The last segment, open for writing; undefined in an empty folder. */
  readonly current: CurrentSegment | undefined
  readonly handle: FileHandle | undefined
  /** What was moved to `lost+found/`. */
  readonly lost: readonly LostBytes[]
}

export interface LostBytes {
  readonly segment: number
  readonly from: number
  readonly bytes: number
  readonly keptAs: string
}

const EMPTY_STATE: StateValues = { timeMs: 0, offsets: {}, watermarksUs: {}, counts: {}, late: {} }

interface FoundSegment {
  readonly path: string
  readonly header: SegmentHeader
  /** Position of the first frame. */
  readonly start: number
  /** Length of the file. */
  readonly size: number
}

export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { dir, files, dedupe } = options
  const lost: LostBytes[] = []
  const names = await files.readdir(dir)
  const found = await findSegments(options, names, lost)
  const firstHot = found[0]?.header.segment ?? Number.POSITIVE_INFINITY
  for (const name of names) {
    const number = sidecarNumber(name)
    if (number !== undefined && number < firstHot) await dedupe.loadDropped(number)
  }
  const first = found[0]
  if (first === undefined) {
    if (options.journaled > 0) throw missingCommits(dir, 0, options.journaled)
    dedupe.endLoading(0, 0)
    return { commit: 0, state: EMPTY_STATE, closed: [], current: undefined, handle: undefined, lost }
  }
  if (options.lakeThrough !== undefined && first.header.base > options.lakeThrough) {
    throw new RefoldError(
      'LOG_CORRUPT',
      `the log begins after commit ${first.header.base}, but the lake ends at commit ${options.lakeThrough}`,
    )
  }
  let at: ScanState = { commit: first.header.base, state: first.header, journaled: options.journaled }
  const closed: SegmentInfo[] = []
  for (const [i, segment] of found.entries()) {
    const next = found[i + 1]
    checkJoins(segment, at)
    const bytes = next === undefined ? undefined : must(next.header.previousBytes, 'checked')
    if (bytes !== undefined) await cutExcess(options, segment, bytes, lost)
    const scanned = await scanSegment(options, segment, bytes, at)
    if (bytes === undefined && scanned.end < segment.size) {
      await cutAt(options, segment, scanned.end, segment.size, lost)
    }
    const acceptedBefore = acceptedOf(segment.header)
    const { path, start } = segment
    const { segment: number, base } = segment.header
    const current = { path, number, base, start, bytes: scanned.end, last: scanned.commit, acceptedBefore }
    at = { ...scanned, journaled: at.journaled }
    if (next !== undefined) {
      closed.push(infoOf(current, scanned.state, true))
      continue
    }
    const handle = await makeDurable(options, segment, scanned)
    if (at.commit < options.journaled) throw missingCommits(path, at.commit, options.journaled)
    dedupe.endLoading(at.commit, at.state.timeMs)
    return { commit: at.commit, state: at.state, closed, current, handle, lost }
  }
  throw new Error('unreachable: the last segment returns')
}

interface ScanState {
  readonly commit: CommitSeq
  readonly state: StateValues
  readonly journaled: CommitSeq
}

/** All segments by their first lines; numbers must follow each other. */
async function findSegments(
  options: RecoverOptions,
  names: readonly string[],
  lost: LostBytes[],
): Promise<readonly FoundSegment[]> {
  const { dir, files } = options
  const numbers = names.map(segmentNumber).filter((number) => number !== undefined)
  const found: FoundSegment[] = []
  for (const [i, number] of numbers.entries()) {
    const before = numbers[i - 1]
    if (before !== undefined && number !== before + 1) {
      throw new RefoldError('LOG_CORRUPT', `segment ${before + 1} is missing in "${dir}"`, {
        place: { file: dir },
        details: { segment: before + 1 },
      })
    }
    const path = join(dir, names.find((name) => segmentNumber(name) === number) ?? '')
    const isLast = i === numbers.length - 1
    const segment = await readSegment(files, path, number)
    if (segment !== undefined) found.push(segment)
    else if (isLast && (await isTornBeginning(options, path, number, i === 0))) {
      await removeSegment(options, path, number, lost)
    } else throw corruptAt(path, 0)
  }
  for (const [i, { header, path }] of found.entries()) {
    if (i > 0 && header.previousBytes === undefined) throw corruptAt(path, 0)
  }
  return found
}

async function readSegment(files: Files, path: string, number: number): Promise<FoundSegment | undefined> {
  return await withFile(files, path, async (handle) => {
    const size = await handle.size()
    const first = await readFirstLine(handle, size)
    if (first === undefined) return undefined
    const read = decodeSegmentHeader(first.line)
    if (read.kind === 'format') {
      throw new RefoldError(
        'LOG_CORRUPT',
        `segment "${path}" has format ${JSON.stringify(read.format)}, which this version does not read`,
        { hint: 'Start it with the version of Refold that wrote it.', place: { file: path } },
      )
    }
    if (read.kind === 'bad' || read.header.segment !== number) return undefined
    return { path, header: read.header, start: first.next, size }
  })
}

/** A last file whose first line does not check: fine when it holds no frame, so that it was never in use. */
async function isTornBeginning(
  options: RecoverOptions,
  path: string,
  number: number,
  isOnly: boolean,
): Promise<boolean> {
  if (isOnly && (number !== 1 || options.journaled > 0)) return false
  return await withFile(options.files, path, async (handle) => {
    return (await findFrameAfter(handle, 0, await handle.size(), 0)) === undefined
  })
}

function checkJoins({ path, header }: FoundSegment, at: ScanState): void {
  const isSame =
    header.base === at.commit &&
    header.timeMs === at.state.timeMs &&
    sameJson(header.offsets, at.state.offsets) &&
    sameJson(header.counts, at.state.counts) &&
    sameJson(header.watermarksUs, at.state.watermarksUs) &&
    // An earlier release does not count late events.
    (header.late === undefined || isEmpty(header.late) || sameJson(header.late, at.state.late ?? {}))
  if (!isSame) throw corruptAt(path, 0)
}

/** Reads all frames of a segment. In the last one (`bytes` undefined) it may stop before a torn end. */
async function scanSegment(
  options: RecoverOptions,
  segment: FoundSegment,
  bytes: number | undefined,
  before: ScanState,
): Promise<{ commit: CommitSeq; state: StateValues; end: number; lastFrame: number }> {
  const { files, dedupe } = options
  const { path, header, start, size } = segment
  const covered = await dedupe.loadSegment(header.segment, header.base)
  return await withFile(files, path, async (handle) => {
    let { commit } = before
    let state: StateValues = header
    let end = start
    let lastFrame = 0
    try {
      for await (const frame of walkFrames(handle, start, bytes ?? size)) {
        if (frame.header.commit !== commit + 1) throw new BadFrame(frame.position)
        commit++
        state = withHeader(state, frame.header)
        if (commit > covered) dedupe.loadCommit(frame.header, frame.body)
        lastFrame = frame.position
        end = frame.end
      }
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error
      // What the sidecar covers was durable, so it is as good as a journal.
      const acknowledged = Math.max(options.journaled, covered)
      const isTorn =
        bytes === undefined &&
        commit >= acknowledged &&
        (await findFrameAfter(handle, error.position, size, commit)) === undefined
      if (!isTorn) throw corruptAt(path, error.position)
    }
    if (commit < covered) throw missingCommits(path, commit, covered)
    return { commit, state, end, lastFrame }
  })
}

/** Keeps and cuts what a closed segment has beyond its valid length. */
async function cutExcess(
  options: RecoverOptions,
  segment: FoundSegment,
  bytes: number,
  lost: LostBytes[],
): Promise<void> {
  if (segment.size < bytes || bytes < segment.start) throw corruptAt(segment.path, segment.size)
  if (segment.size > bytes) await cutAt(options, segment, bytes, segment.size, lost)
}

async function cutAt(
  options: RecoverOptions,
  { path, header }: FoundSegment,
  from: number,
  size: number,
  lost: LostBytes[],
): Promise<void> {
  const keptAs = await keepBytes(options, path, header.segment, from, size)
  const handle = await options.files.open(path, 'write')
  try {
    await handle.truncate(from)
    await handle.datasync()
  } finally {
    await handle.close()
  }
  options.crash('log.recovery-cut')
  lost.push({ segment: header.segment, from, bytes: size - from, keptAs })
}

async function removeSegment(
  options: RecoverOptions,
  path: string,
  number: number,
  lost: LostBytes[],
): Promise<void> {
  const { files, dir } = options
  const size = (await files.size(path)) ?? 0
  const keptAs = size === 0 ? '' : await keepBytes(options, path, number, 0, size)
  await files.unlink(path)
  await files.syncDir(dir)
  options.crash('log.recovery-segment-removed')
  if (size > 0) lost.push({ segment: number, from: 0, bytes: size, keptAs })
}

/** Copies the bytes [from, to) of a segment to `lost+found/`, synced, before they are cut. */
async function keepBytes(
  { files, lostFoundDir, crash }: RecoverOptions,
  path: string,
  segment: number,
  from: number,
  to: number,
): Promise<string> {
  await files.mkdir(lostFoundDir)
  const keptAs = join(lostFoundDir, `segment-${segment}-byte-${from}.bytes`)
  const target = await files.open(keptAs, 'create')
  try {
    await withFile(files, path, async (source) => {
      const buffer = Buffer.allocUnsafe(Math.min(1 << 20, to - from))
      for (let at = from; at < to; ) {
        const count = await readFully(source, buffer.subarray(0, Math.min(buffer.length, to - at)), at)
        if (count === 0) break
        await writeAll(target, [buffer.subarray(0, count)], at - from)
        at += count
      }
    })
    await target.datasync()
  } finally {
    await target.close()
  }
  await files.syncDir(lostFoundDir)
  crash('log.recovery-excess-kept')
  return keptAs
}

/** Writes the last frame (or the first line, where there is no frame) again where it stands, and syncs. */
async function makeDurable(
  { files, dir, crash }: RecoverOptions,
  { path }: FoundSegment,
  { end, lastFrame }: { readonly end: number; readonly lastFrame: number },
): Promise<FileHandle> {
  const handle = await files.open(path, 'write')
  try {
    const last = Buffer.allocUnsafe(end - lastFrame)
    if ((await readFully(handle, last, lastFrame)) < last.byteLength) throw corruptAt(path, lastFrame)
    await writeAll(handle, [last], lastFrame)
    crash('log.recovery-rewritten')
    await handle.datasync()
    await files.syncDir(dir)
    return handle
  } catch (error) {
    await handle.close().catch(() => {})
    throw error
  }
}

function missingCommits(path: string, commit: CommitSeq, known: CommitSeq): RefoldError {
  return new RefoldError(
    'LOG_CORRUPT',
    `the log in "${path}" ends at commit ${commit}, but commit ${known} was acknowledged`,
    { place: { file: path }, details: { commit, acknowledged: known } },
  )
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0
}

/** Compares plain data without regard to the order of keys. */
function sameJson(a: object, b: object): boolean {
  const sorted = (value: object) => JSON.stringify(Object.entries(value).sort(([x], [y]) => (x < y ? -1 : 1)))
  return sorted(a) === sorted(b)
}
