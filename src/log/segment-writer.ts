/**
 * The segment that is being written, and what is known of those before it. State: closed segments, and the active
 * one with its descriptor, or no active one after it had to be abandoned.
 *
 * Invariant: `bytes` of every segment ends a frame that is known synced. Bytes beyond it in an abandoned segment are
 * not part of the log, and the next segment's first line says so; therefore nothing is ever written to a segment
 * again once a later one may exist on the disk.
 */

import { join } from 'node:path'
import type { CommitSeq } from '../model/cut.ts'
import { assert, must } from '../std/assert.ts'
import { type FileHandle, type Files, writeAll } from '../std/files.ts'
import type { CrashHook } from './crash-point.ts'
import { encodeSegmentHeader, type StateValues, segmentName } from './frame.ts'
import type { SegmentInfo } from './types.ts'

/** The active segment, or the last one where none is active. */
export interface CurrentSegment {
  readonly path: string
  readonly number: number
  readonly base: CommitSeq
  readonly start: number
  bytes: number
  last: CommitSeq
  /** Accepted events per stream at its base. */
  readonly acceptedBefore: Readonly<Record<string, number>>
}

/** A write failed; `at` says whether the segment can still be trusted once its end was cut back. */
export class WriteFailure extends Error {
  override readonly name = 'WriteFailure'
  readonly at: 'write' | 'sync' | 'roll'

  constructor(at: 'write' | 'sync' | 'roll', cause: unknown) {
    super(`the log's ${at} failed`, { cause })
    this.at = at
  }
}

export interface SegmentWriterOptions {
  readonly dir: string
  readonly files: Files
  readonly crash: CrashHook
  readonly closed: readonly SegmentInfo[]
  readonly current: CurrentSegment | undefined
  readonly handle: FileHandle | undefined
}

export class SegmentWriter {
  readonly #options: SegmentWriterOptions
  #closed: readonly SegmentInfo[]
  #current: CurrentSegment | undefined
  #handle: FileHandle | undefined

  constructor(options: SegmentWriterOptions) {
    this.#options = options
    this.#closed = options.closed
    this.#current = options.current
    this.#handle = options.handle
  }

  /** Whether there is a segment that takes commits. */
  get isOpen(): boolean {
    return this.#handle !== undefined
  }

  /** Bytes of the active segment, its first line included. */
  get bytes(): number {
    return this.#current?.bytes ?? 0
  }

  /** Number of the newest segment. */
  get number(): number {
    return this.#current?.number ?? 0
  }

  get hasCommits(): boolean {
    return this.#current !== undefined && this.#current.last > this.#current.base
  }

  /** Writes one frame behind the others and returns once it is on the disk. */
  async write(commit: CommitSeq, line: Buffer, body: Buffer): Promise<void> {
    const { crash } = this.#options
    const handle = must(this.#handle, 'a segment is open')
    const current = must(this.#current, 'a segment is open')
    crash('log.before-write')
    try {
      await writeAll(handle, [line, body], current.bytes)
    } catch (error) {
      throw new WriteFailure('write', error)
    }
    crash('log.after-write')
    try {
      await handle.datasync()
    } catch (error) {
      throw new WriteFailure('sync', error)
    }
    crash('log.after-sync')
    current.bytes += line.byteLength + body.byteLength
    current.last = commit
  }

  /** Cuts off what a failed write left; answers whether the segment can go on. Not after a failed sync. */
  async takeBack(): Promise<boolean> {
    const handle = this.#handle
    if (handle === undefined || this.#current === undefined) return false
    try {
      await handle.truncate(this.#current.bytes)
      this.#options.crash('log.frame-taken-back')
      return true
    } catch {
      return false
    }
  }

  /** Leaves the descriptor alone for good: what was not synced through it is not part of the log. */
  abandon(): void {
    this.#handle?.close().catch(() => {})
    this.#handle = undefined
    this.#options.crash('log.abandoned')
  }

  /**
   * Begins the next segment at the durable state, and closes the one before. A failure leaves the active segment as
   * it was if the new file is surely gone; otherwise no segment is open, and the same call is to be made again.
   */
  async begin(commit: CommitSeq, state: StateValues): Promise<void> {
    const { dir } = this.#options
    const previous = this.#current
    const segment = this.number + 1
    const path = join(dir, segmentName(segment))
    const previousBytes = previous?.bytes
    const header = encodeSegmentHeader({ ...state, segment, base: commit, previousBytes })
    let handle: FileHandle
    try {
      handle = await this.#create(path, header)
    } catch (error) {
      if (this.#handle !== undefined) {
        if (!(await this.#isGone(path))) this.abandon()
      }
      throw new WriteFailure('roll', error)
    }
    if (previous !== undefined) this.#closed = [...this.#closed, infoOf(previous, state, true)]
    this.#handle?.close().catch(() => {})
    this.#handle = handle
    const acceptedBefore = acceptedOf(state)
    const bytes = header.byteLength
    this.#current = { path, number: segment, base: commit, start: bytes, bytes, last: commit, acceptedBefore }
  }

  /** All segments, the active one last. `state` is the durable one. */
  infos(state: StateValues): readonly SegmentInfo[] {
    if (this.#current === undefined) return this.#closed
    return [...this.#closed, infoOf(this.#current, state, false)]
  }

  /** The closed segments whose commits all are at or before the cut; they are no longer listed from now on. */
  takeClosed(through: CommitSeq): readonly SegmentInfo[] {
    const taken = this.#closed.filter((info) => info.last <= through)
    this.#closed = this.#closed.slice(taken.length)
    return taken
  }

  /** Lists again what could not be dropped. */
  putBack(infos: readonly SegmentInfo[]): void {
    assert(
      infos.length === 0 || this.#closed.length === 0 || infos.at(-1)!.number + 1 === this.#closed[0]!.number,
      'segments are dropped from the oldest on',
    )
    this.#closed = [...infos, ...this.#closed]
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  /** Removes a segment that never was in use, and makes sure that it will not come back. */
  async #isGone(path: string): Promise<boolean> {
    const { files, dir } = this.#options
    try {
      if ((await files.size(path)) !== undefined) await files.unlink(path)
      await files.syncDir(dir)
      return true
    } catch {
      return false
    }
  }

  async #create(path: string, header: Buffer): Promise<FileHandle> {
    const { files, dir, crash } = this.#options
    const handle = await files.open(path, 'create')
    try {
      crash('log.segment-created')
      await writeAll(handle, [header], 0)
      crash('log.segment-header-written')
      await handle.datasync()
      crash('log.segment-header-synced')
      await files.syncDir(dir)
      crash('log.segment-folder-synced')
      return handle
    } catch (error) {
      handle.close().catch(() => {})
      throw error
    }
  }
}

export function acceptedOf(state: StateValues): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(state.counts).map(([stream, counts]) => [stream, counts.accepted]))
}

/** `state` is the state at the segment's last commit. */
export function infoOf(segment: CurrentSegment, state: StateValues, closed: boolean): SegmentInfo {
  const { path, number, base, last, start, bytes, acceptedBefore } = segment
  const events: Record<string, number> = {}
  for (const [stream, { accepted }] of Object.entries(state.counts)) {
    const count = accepted - (acceptedBefore[stream] ?? 0)
    if (count > 0) events[stream] = count
  }
  return { path, number, base, last, start, bytes, closed, events }
}
