/**
 * Moves the log from hot segments into the lake: writes closed ones as Parquet in a worker, publishes the files, and
 * deletes the segments once nobody reads them and their time in the hot log is over. State: whether a move runs.
 *
 * The catalog's transaction is the hand-over: before it the lake ends earlier and the hot log has the events, after
 * it the lake has them; readers take one manifest of both, so they read an event once either way.
 */

import { join } from 'node:path'
import { type DeadLetterRow, lakeThrough, publishLake } from '../catalog/lake.ts'
import { latestStreams } from '../catalog/streams.ts'
import { publishFile } from '../lake/publish-file.ts'
import type { LakeFile } from '../lake/types.ts'
import type { SegmentInfo } from '../log/types.ts'
import type { CommitRange, CommitSeq } from '../model/cut.ts'
import { segmentsToMove } from '../run/kappa.ts'
import { hotDropCut, hotRetentionMs } from '../run/retention.ts'
import { randomSeed } from '../std/random.ts'
import type { ServerContext } from './context.ts'
import { tellEngine } from './lake/lake-files.ts'

const REST_MS = 5_000

export class LakeMoving {
  readonly #context: ServerContext
  #moving: Promise<void> | undefined
  /** Deletions wait for readers, moves do not wait for deletions. */
  #drops: Promise<void> = Promise.resolve()
  #dropping = 0
  #restUntilMs = 0

  constructor(context: ServerContext) {
    this.#context = context
  }

  /** Looks whether something is due; called by a timer. Never waits. */
  check(): void {
    const { clock } = this.#context
    if (this.#moving !== undefined || this.#context.closing() || clock.monotonicMs() < this.#restUntilMs)
      return
    this.#moving = this.#step()
      .catch((error: unknown) => this.#rest(error))
      .finally(() => {
        this.#moving = undefined
      })
  }

  /** Moves all that is in the hot log now, whatever the policy says. */
  async moveAll(): Promise<void> {
    while (this.#moving !== undefined) await this.#moving
    const move = async () => {
      await this.#context.log.roll()
      const closed = this.#closed()
      if (closed.length > 0) await this.#move(closed)
    }
    await this.#alone(move)
    await this.#drops
  }

  /** Moves what is in the hot log up to a cut, and what came with it. */
  async moveThrough(cut: CommitSeq): Promise<void> {
    const { catalog, log, segmentPolicy } = this.#context
    while (lakeThrough(catalog) < cut) {
      if (this.#moving !== undefined) {
        await this.#moving
        continue
      }
      const move = async () => {
        if ((this.#closed().at(-1)?.last ?? 0) < cut) await log.roll()
        const closed = this.#closed()
        const sizes = closed.map(({ bytes }) => ({ bytes, ageMs: Number.POSITIVE_INFINITY }))
        if (closed.length > 0) await this.#move(closed.slice(0, segmentsToMove(segmentPolicy, sizes)))
      }
      await this.#alone(move)
    }
  }

  /** Other moves wait meanwhile: two of the same segments would take each other's files away. */
  async #alone(move: () => Promise<void>): Promise<void> {
    const moved = move()
    this.#moving = moved
      .catch(() => {})
      .finally(() => {
        this.#moving = undefined
      })
    await moved
  }

  async settled(): Promise<void> {
    await this.#moving
    await this.#drops
  }

  async #dropWhenFree(cut: CommitSeq, swapped: Promise<void>): Promise<void> {
    try {
      await swapped
      await this.#context.pins.quiesce()
      await this.#context.log.drop(cut)
      this.#context.crash('lake.dropped')
    } catch (error) {
      // The segments stay listed by the log; they go with the next move, or at the next start.
      this.#rest(error)
    }
  }

  async #step(): Promise<void> {
    const { history, clock, segmentPolicy } = this.#context
    const closed = this.#closed()
    const ages = closed.map((segment) => ({
      bytes: segment.bytes,
      ageMs: clock.nowMs() - (history.at(segment.last)?.timeMs ?? 0),
    }))
    const count = segmentsToMove(segmentPolicy, ages)
    if (count > 0) await this.#move(closed.slice(0, count))
    else if (this.#dropping === 0 && this.#dropCut() > 0) this.#dropLater(Promise.resolve())
  }

  /** Closed segments that the lake does not hold; ones that it holds are left over from a crash and go. */
  #closed(): readonly SegmentInfo[] {
    const through = lakeThrough(this.#context.catalog)
    return this.#context.log.manifest().segments.filter((segment) => segment.closed && segment.last > through)
  }

  async #move(segments: readonly SegmentInfo[]): Promise<void> {
    const { catalog, folder, logger } = this.#context
    const from = lakeThrough(catalog)
    const to = segments.at(-1)?.last ?? from
    const range = { from, to }
    const job = {
      kind: 'lake',
      // Streams that the project has left out may still have events in the segments.
      streams: latestStreams(catalog),
      segments: { segments, durable: to },
      range,
      stagingDir: folder.staging,
    } as const
    const { manifest } = await this.#context.runJob(job)
    const deadLetters = await this.#deadLetters(range)
    const told = await this.#context.publications.run(async () => {
      this.#context.crash('lake.staged')
      const files: LakeFile[] = []
      for (const file of manifest.files) {
        const path = finalPath(this.#context, file)
        await publishFile(file.path, path)
        files.push({ ...file, path })
      }
      this.#context.crash('lake.renamed')
      publishLake(catalog, { files, through: to, deadLetters })
      this.#context.crash('lake.published')
      return { swapped: tellEngine(this.#context) }
    })
    this.#dropLater(told.swapped)
    logger.debug('moved to the lake', { from, to, files: manifest.files.length })
  }

  /** Drops segments that the lake already holds, which a crash between publication and deletion leaves. */
  async dropLeftovers(): Promise<void> {
    const cut = this.#dropCut()
    if (cut > 0) await this.#context.log.drop(cut)
  }

  /** The cut up to which segments that the lake holds are past the hot retention. */
  #dropCut(): CommitSeq {
    const { log, catalog, history, clock, streams } = this.#context
    const through = lakeThrough(catalog)
    const moved = log
      .manifest()
      .segments.filter((segment) => segment.closed && segment.last <= through)
      .map(({ last }) => ({ last, ageMs: clock.nowMs() - (history.at(last)?.timeMs ?? 0) }))
    return hotDropCut(moved, hotRetentionMs(streams()))
  }

  /** What is moved while this waits goes with a later drop: those who read it now may have begun meanwhile. */
  #dropLater(after: Promise<void>): void {
    const cut = this.#dropCut()
    this.#dropping++
    this.#drops = this.#drops
      .then(() => this.#dropWhenFree(cut, after))
      .finally(() => {
        this.#dropping--
      })
  }

  async #deadLetters(range: CommitRange): Promise<readonly DeadLetterRow[]> {
    const { reader, pins } = this.#context
    return await pins.with(async ({ log }) => {
      const rows: DeadLetterRow[] = []
      for await (const { header, letter } of reader.deadLetters(log, range)) {
        rows.push({ commit: header.commit, timeMs: header.timeMs, ...letter })
      }
      return rows
    })
  }

  #rest(error: unknown): void {
    const { logger, clock } = this.#context
    if (this.#context.closing()) return
    this.#restUntilMs = clock.monotonicMs() + REST_MS
    logger.warn('moving the log to the lake failed; tried again later', {
      reason: error instanceof Error ? error.message : String(error),
    })
  }
}

function finalPath(context: ServerContext, file: LakeFile): string {
  return join(context.folder.lake, file.stream, `${file.from}-${file.to}-${randomSeed().slice(0, 8)}.parquet`)
}
