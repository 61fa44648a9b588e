/**
 * Merges small neighbouring lake files of a stream, one merge at a time, in a worker. State: whether one runs, until
 * when a failed one rests, and the deletions under way.
 *
 * One transaction puts the merged file in the place of its inputs, so a manifest has the events once, from either. It
 * takes turns with trims, which stand at borders of files.
 */

import { join } from 'node:path'
import { lakeManifest, replaceFiles } from '../../catalog/lake.ts'
import { publishFile } from '../../lake/publish-file.ts'
import type { LakeFile } from '../../lake/types.ts'
import { chooseLakeMerge, type LakeMergePolicy } from '../../run/retention.ts'
import { randomSeed } from '../../std/random.ts'
import type { ServerContext } from '../context.ts'
import { deleteLeftovers, filesOf, tellEngine } from './lake-files.ts'
import type { LakeTrimming } from './trimming.ts'

const REST_MS = 60_000

export class LakeMerging {
  readonly #context: ServerContext
  readonly #trimming: LakeTrimming
  readonly #policy: LakeMergePolicy
  #running: Promise<void> | undefined
  #deletions: Promise<void> = Promise.resolve()
  #restUntilMs = 0

  constructor(context: ServerContext, trimming: LakeTrimming, policy: LakeMergePolicy) {
    this.#context = context
    this.#trimming = trimming
    this.#policy = policy
  }

  /** Looks whether a merge is worth it; called by a timer. Never waits. */
  check(): void {
    const { clock, logger } = this.#context
    if (this.#running !== undefined || this.#context.closing() || clock.monotonicMs() < this.#restUntilMs)
      return
    this.#running = this.#mergeAll()
      .catch((error: unknown) => {
        if (this.#context.closing()) return
        this.#restUntilMs = clock.monotonicMs() + REST_MS
        logger.warn('merging lake files failed; tried again later', { reason: String(error) })
      })
      .finally(() => {
        this.#running = undefined
      })
  }

  async settled(): Promise<void> {
    await this.#running
    await this.#deletions
  }

  async #mergeAll(): Promise<void> {
    const streams = new Set(lakeManifest(this.#context.catalog).files.map(({ stream }) => stream))
    for (const stream of streams) {
      while (!this.#context.closing() && (await this.#trimming.exclusive(() => this.#mergeOnce(stream))));
    }
  }

  /** Answers whether there was something to merge. */
  async #mergeOnce(stream: string): Promise<boolean> {
    const { catalog, folder, publications, logger } = this.#context
    const retention = this.#context.streams().find(({ name }) => name === stream)?.retention
    const files = filesOf(lakeManifest(catalog).files, stream)
    const merge = chooseLakeMerge(files, this.#policy, retention?.lake?.ageMs)
    if (merge === undefined) return false
    const inputs = files.slice(merge.first, merge.first + merge.count).map(plainFile)
    const { file } = await this.#context.runJob({ kind: 'lake-merge', inputs, stagingDir: folder.staging })
    const told = await publications.run(async () => {
      const name = `${file.from}-${file.to}-${randomSeed().slice(0, 8)}.parquet`
      const path = join(folder.lake, stream, name)
      await publishFile(file.path, path)
      this.#context.crash('lake.merge-renamed')
      replaceFiles(catalog, inputs, { ...file, path })
      this.#context.crash('lake.merged')
      return { swapped: tellEngine(this.#context) }
    })
    logger.debug('lake files merged', { stream, files: inputs.length, rows: file.rows })
    this.#deletions = this.#deletions
      .then(() => deleteLeftovers(this.#context, told.swapped))
      .catch((error: unknown) => logger.warn('deleting merged lake files failed', { reason: String(error) }))
    return true
  }
}

function plainFile({
  stream,
  from,
  to,
  path,
  rows,
  bytes,
  checksum,
  offsets,
  fields,
  times,
}: LakeFile): LakeFile {
  const file = { stream, from, to, path, rows, bytes, checksum, offsets, fields }
  return times === undefined ? file : { ...file, times }
}
