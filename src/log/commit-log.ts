/**
 * The commit log: takes requests, makes them durable in commits, and says where everything is. One frame is written
 * and synced at a time; while that goes on, requests are encoded into the next frame as they arrive, and all that
 * came is the next commit. A request is wholly in one commit, and is answered after that commit's sync.
 *
 * State: the frame being written, the frame being built, requests that wait because the latter is full, and below
 * them the working state (offsets, counts, watermarks, dedupe windows), which runs ahead of the durable state by
 * these two frames at most.
 *
 * Why it is right: after any failure the working state is rolled back to the durable state and both frames are
 * refused to their senders, so nothing of a failed commit survives in memory. On the disk a failed write is cut off
 * again. After a failed sync, or if the cut fails, the segment is abandoned: nothing is acknowledged before a new
 * segment states on the disk how much of the old one is valid. While no segment can be opened, every request is
 * refused, and opening is tried again.
 */

import type { CommitSeq } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import { assert } from '../std/assert.ts'
import type { Clock } from '../std/clock.ts'
import { errnoOf, type Files } from '../std/files.ts'
import { Serial } from '../std/serial.ts'
import { ByteWriter } from './byte-writer.ts'
import { type CrashHook, noCrash } from './crash-point.ts'
import { DedupeStore } from './dedupe-store.ts'
import type { LogPosition } from './log-cursor.ts'
import { LogState } from './log-state.ts'
import { type FrameContext, OpenFrame, type PendingAppend } from './open-frame.ts'
import { createLogReader, type LogReader } from './reader.ts'
import { type LostBytes, recover } from './recover.ts'
import { SegmentWriter, WriteFailure } from './segment-writer.ts'
import type { AppendRequest, AppendResult, DurableState, LogManifest } from './types.ts'

export interface LogLimits {
  /** Bytes of requests that may wait for their answer; beyond it a request is refused with LOG_BUSY. */
  readonly queueBytes: number
  /** A commit takes no further request once its body is this long. */
  readonly frameBytes: number
  /** A segment is closed at this length, */
  readonly segmentBytes: number
  /** or this long after its first commit. */
  readonly segmentAgeMs: number
  /** Ids are written beside the log after this many, so that a restart reads no more than these out of events. */
  readonly sidecarEntries: number
}

export const defaultLogLimits: LogLimits = {
  queueBytes: 64 << 20,
  frameBytes: 4 << 20,
  segmentBytes: 64 << 20,
  segmentAgeMs: 5 * 60_000,
  sidecarEntries: 1 << 16,
}

export interface CommitLogOptions {
  /** Folder of the segments; made if it is missing. */
  readonly dir: string
  readonly lostFoundDir: string
  readonly streams: readonly StreamDef[]
  readonly files: Files
  readonly clock: Clock
  readonly limits?: Partial<LogLimits>
  /** A commit that is known to be acknowledged; the start is refused when the log does not have it. */
  readonly journaled?: CommitSeq
  /** The lake holds everything up to this cut; the start is refused when the log begins after it. */
  readonly lakeThrough?: CommitSeq
  /** 32 hex digits, drawn once for a data folder. */
  readonly dedupeSeed: string
  /** For tests: told of each crash point. */
  readonly crash?: CrashHook
}

export interface CommitLog {
  /** Resolves once the request is durable; rejects with LOG_BUSY, LOG_FULL or LOG_FAILED. */
  append(request: AppendRequest): Promise<AppendResult>
  state(): DurableState
  manifest(): LogManifest
  /** Calls the listener after each commit, before its senders are answered; the returned function ends that. */
  onDurable(listener: () => void): () => void
  /** Takes over changed definitions, from the next commit on. */
  setStreams(streams: readonly StreamDef[]): void
  /** Closes the active segment, if it has a commit. */
  roll(): Promise<void>
  /** Deletes closed segments whose commits are all at or before the cut; the lake has them. */
  drop(through: CommitSeq): Promise<void>
  /** The border after a commit of the hot log. */
  locate(commit: CommitSeq): Promise<LogPosition>
  reader: LogReader
  /** What recovery moved to `lost+found/` at the start. */
  readonly lost: readonly LostBytes[]
  /** Why requests are refused, or why ids can not be written beside the log; for the status. */
  problem(): string | undefined
  /** Writes what waits, then closes; requests after this are refused. */
  close(): Promise<void>
}

export async function openCommitLog(options: CommitLogOptions): Promise<CommitLog> {
  const { dir, lostFoundDir, files, streams, crash = noCrash, journaled = 0, lakeThrough } = options
  await files.mkdir(dir)
  const flushEntries = options.limits?.sidecarEntries ?? defaultLogLimits.sidecarEntries
  const dedupe = new DedupeStore({ dir, files, streams, crash, flushEntries, seed: options.dedupeSeed })
  try {
    const found = await recover({ dir, lostFoundDir, files, crash, journaled, lakeThrough, dedupe })
    const segments = new SegmentWriter({ ...found, dir, files, crash })
    const state = new LogState(streams, found.commit, found.state)
    if (!segments.isOpen) {
      await segments.begin(found.commit, found.state)
      dedupe.beginSegment(segments.number)
    }
    return new Log(options, segments, state, dedupe, found.lost)
  } catch (error) {
    throw error instanceof RefoldError ? error : failureOf(error)
  }
}

const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 5000
const BODY_BYTES = 1 << 20

class Log implements CommitLog {
  readonly reader: LogReader
  readonly lost: readonly LostBytes[]
  readonly #clock: Clock
  readonly #crash: CrashHook
  readonly #files: Files
  readonly #dir: string
  readonly #limits: LogLimits
  readonly #segments: SegmentWriter
  readonly #state: LogState
  readonly #dedupe: DedupeStore
  readonly #drops = new Serial()
  readonly #context: FrameContext
  readonly #bodies: ByteWriter[] = [new ByteWriter(BODY_BYTES), new ByteWriter(BODY_BYTES)]
  readonly #listeners = new Set<() => void>()
  #writing: OpenFrame | undefined
  #open: OpenFrame | undefined
  #waiting: PendingAppend[] = []
  #queuedBytes = 0
  #running: Promise<void> | undefined
  #rolls: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = []
  /** Where the segment is long enough to be closed. */
  #rollAtBytes: number
  #down: RefoldError | undefined
  #isClosed = false
  /** A segment was deleted, but the folder is not synced since. */
  #isDropUnsynced = false
  #manifest: LogManifest | undefined
  #cancelAge: (() => void) | undefined
  #cancelRetry: (() => void) | undefined

  constructor(
    options: CommitLogOptions,
    segments: SegmentWriter,
    state: LogState,
    dedupe: DedupeStore,
    lost: readonly LostBytes[],
  ) {
    this.#clock = options.clock
    this.#crash = options.crash ?? noCrash
    this.#files = options.files
    this.#dir = options.dir
    this.#limits = { ...defaultLogLimits, ...options.limits }
    this.#rollAtBytes = this.#limits.segmentBytes
    this.#segments = segments
    this.#state = state
    this.#dedupe = dedupe
    this.#context = { state, dedupe, contentKey: dedupe.contentKey, ids: new Int32Array(4096) }
    this.lost = lost
    this.reader = createLogReader(options.files)
    if (segments.hasCommits) this.#startAge()
  }

  append(request: AppendRequest): Promise<AppendResult> {
    if (this.#isClosed) return Promise.reject(new RefoldError('LOG_FAILED', 'the log is closed'))
    if (this.#down !== undefined) return Promise.reject(this.#down)
    if (this.#queuedBytes > 0 && this.#queuedBytes + request.bytes > this.#limits.queueBytes) {
      const message = `${this.#queuedBytes} bytes wait to be written`
      return Promise.reject(new RefoldError('LOG_BUSY', message))
    }
    this.#check(request)
    this.#queuedBytes += request.bytes
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject })
      if (this.#waiting.length === 1) this.#takeWaiting()
      this.#kick()
    })
  }

  state(): DurableState {
    return this.#state.view()
  }

  manifest(): LogManifest {
    this.#manifest ??= {
      segments: this.#segments.infos(this.#state.durable),
      durable: this.#state.commit,
    }
    return this.#manifest
  }

  onDurable(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  setStreams(streams: readonly StreamDef[]): void {
    // Definitions are looked up while requests are encoded; what is encoded already keeps its values.
    this.#state.setStreams(streams)
    this.#dedupe.setStreams(streams)
  }

  roll(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#rolls.push({ resolve, reject })
      this.#kick()
    })
  }

  drop(through: CommitSeq): Promise<void> {
    return this.#drops.run(async () => {
      const infos = this.#segments.takeClosed(Math.min(through, this.#state.commit))
      this.#manifest = undefined
      let done = 0
      try {
        for (const { number, path } of infos) {
          await this.#syncDrop()
          await this.#dedupe.settled(number)
          this.#crash('log.before-drop')
          // One at a time, oldest first, each synced: a gap in the numbers would look like a lost segment.
          if ((await this.#files.size(path)) !== undefined) await this.#files.unlink(path)
          done++
          this.#isDropUnsynced = true
          this.#crash('log.segment-unlinked')
          await this.#syncDrop()
          this.#crash('log.dropped')
          await this.#dedupe.dropped(number)
        }
      } catch (error) {
        this.#segments.putBack(infos.slice(done))
        this.#manifest = undefined
        throw error instanceof RefoldError ? error : failureOf(error)
      }
    })
  }

  async #syncDrop(): Promise<void> {
    if (!this.#isDropUnsynced) return
    await this.#files.syncDir(this.#dir)
    this.#isDropUnsynced = false
  }

  async locate(commit: CommitSeq): Promise<LogPosition> {
    return await this.reader.locate(this.manifest(), commit)
  }

  problem(): string | undefined {
    if (this.#down !== undefined) return this.#down.message
    const { problem } = this.#dedupe
    return problem === undefined ? undefined : `ids can not be written beside the log: ${messageOf(problem)}`
  }

  async close(): Promise<void> {
    this.#isClosed = true
    while (this.#running !== undefined) await this.#running
    this.#cancelAge?.()
    this.#cancelRetry?.()
    await this.#drops.run(async () => {})
    await this.#dedupe.close()
    await this.#segments.close()
  }

  /** What would be a bug in the caller is found before anything is changed. */
  #check({ stream, events }: AppendRequest): void {
    const partitions = this.#state.work(stream).offsets.length
    for (const { partition } of events) {
      assert(partition >= 0 && partition < partitions, `stream "${stream}" has partition ${partition}`)
    }
  }

  #kick(): void {
    if (this.#running !== undefined) return
    this.#running = Promise.resolve().then(() => this.#run())
  }

  /** Encodes what waits into the frame being built, as long as that has room. */
  #takeWaiting(): void {
    let taken = 0
    for (const pending of this.#waiting) {
      if (this.#open !== undefined && this.#open.body.length >= this.#limits.frameBytes) break
      this.#open ??= this.#newFrame()
      this.#open.add(pending)
      taken++
    }
    if (taken === this.#waiting.length) this.#waiting = []
    else if (taken > 0) this.#waiting = this.#waiting.slice(taken)
  }

  #newFrame(): OpenFrame {
    const before = this.#writing
    const commit = (before?.commit ?? this.#state.commit) + 1
    const timeMs = Math.max(before?.timeMs ?? this.#state.durable.timeMs, this.#clock.nowMs())
    const body = this.#bodies.find((candidate) => candidate !== before?.body)
    assert(body !== undefined, 'one of two bodies is free')
    return new OpenFrame(this.#context, commit, timeMs, body)
  }

  /** Writes frame after frame until nothing waits. Never rejects. */
  async #run(): Promise<void> {
    for (;;) {
      if (this.#down !== undefined) this.#refuseWaiting(this.#down)
      if (this.#rolls.length > 0) await this.#answerRolls()
      this.#takeWaiting()
      const frame = this.#open
      if (frame === undefined) {
        if (this.#rolls.length > 0) continue
        break
      }
      this.#open = undefined
      this.#writing = frame
      await this.#commit(frame)
    }
    this.#running = undefined
  }

  async #commit(frame: OpenFrame): Promise<void> {
    const { header, line } = frame.seal()
    const mark = this.#dedupe.mark()
    try {
      if (this.#segments.bytes >= this.#rollAtBytes) await this.#rollIfPossible()
      const written = this.#segments.write(header.commit, line, frame.body.bytes())
      this.#takeWaiting()
      await written
    } catch (error) {
      await this.#fail(error)
      return
    }
    this.#state.setDurable(header)
    this.#dedupe.setDurable(header.commit, mark)
    this.#manifest = undefined
    this.#writing = undefined
    if (this.#cancelAge === undefined) this.#startAge()
    for (const listener of this.#listeners) listener()
    for (const { pending, result } of frame.answers) {
      this.#queuedBytes -= pending.request.bytes
      pending.resolve(result)
    }
  }

  /** Refuses both frames, forgets them, and sees to it that there is a segment to go on with. */
  async #fail(error: unknown): Promise<void> {
    const failure = failureOf(error)
    const frames = [this.#writing, this.#open]
    this.#forgetFrames()
    for (const frame of frames) {
      for (const { pending } of frame?.answers ?? []) this.#refuse(pending, failure)
    }
    const at = error instanceof WriteFailure ? error.at : 'sync'
    if (at === 'write' && isFull(error) && (await this.#segments.takeBack())) return
    if (this.#segments.isOpen) this.#segments.abandon()
    await this.#mend(RETRY_MS_MIN)
  }

  /** Opens a new segment after one was abandoned; if that fails, the log is down until it succeeds. */
  async #mend(retryMs: number): Promise<void> {
    try {
      await this.#begin()
      this.#down = undefined
    } catch (error) {
      this.#down = failureOf(error)
      this.#cancelRetry = this.#clock.after(retryMs, () => {
        if (this.#isClosed) return
        const next = Math.min(2 * retryMs, RETRY_MS_MAX)
        this.#running = (this.#running ?? Promise.resolve())
          .then(() => this.#mend(next))
          .then(() => this.#run())
      })
    }
  }

  async #begin(): Promise<void> {
    await this.#segments.begin(this.#state.commit, this.#state.durable)
    this.#dedupe.beginSegment(this.#segments.number)
    this.#rollAtBytes = this.#limits.segmentBytes
    this.#manifest = undefined
    this.#cancelAge?.()
    this.#cancelAge = undefined
  }

  /** A segment that can not be closed is gone on with, as long as it may be. */
  async #rollIfPossible(): Promise<void> {
    try {
      await this.#begin()
    } catch (error) {
      if (!this.#segments.isOpen) throw error
      this.#rollAtBytes = this.#segments.bytes + (this.#limits.segmentBytes >> 3)
    }
  }

  async #answerRolls(): Promise<void> {
    const rolls = this.#rolls
    this.#rolls = []
    try {
      if (this.#down !== undefined) throw this.#down
      if (this.#segments.hasCommits) await this.#begin()
      for (const { resolve } of rolls) resolve()
    } catch (error) {
      for (const { reject } of rolls) reject(failureOf(error))
      if (!this.#segments.isOpen && this.#down === undefined) await this.#fail(error)
    }
  }

  #startAge(): void {
    this.#cancelAge = this.#clock.after(this.#limits.segmentAgeMs, () => {
      this.#cancelAge = undefined
      if (!this.#isClosed) this.roll().catch(() => {})
    })
  }

  #refuseWaiting(failure: RefoldError): void {
    const waiting = [...(this.#open?.answers.map(({ pending }) => pending) ?? []), ...this.#waiting]
    this.#forgetFrames()
    this.#waiting = []
    for (const pending of waiting) this.#refuse(pending, failure)
  }

  #forgetFrames(): void {
    this.#writing = undefined
    this.#open = undefined
    this.#state.rollBack()
    this.#dedupe.rollBack()
  }

  #refuse(pending: PendingAppend, failure: RefoldError): void {
    this.#queuedBytes -= pending.request.bytes
    pending.reject(failure)
  }
}

function isFull(error: unknown): boolean {
  const errno = errnoOf(error instanceof WriteFailure ? error.cause : error)
  return errno === 'ENOSPC' || errno === 'EDQUOT'
}

function failureOf(error: unknown): RefoldError {
  if (error instanceof RefoldError) return error
  const cause = error instanceof WriteFailure ? error.cause : error
  if (isFull(error)) return new RefoldError('LOG_FULL', 'the disk of the data folder is full', { cause })
  return new RefoldError('LOG_FAILED', `writing the log failed: ${messageOf(cause)}`, { cause })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
