/**
 * Seals tails by the policy and merges slices when there are too many. State: which versions are being merged, and
 * until when a failed step rests. Runs beside everything else; a step that fails is logged and tried again later,
 * since nothing is changed until a publication commits.
 */

import { layerCut } from '../catalog/batches.ts'
import { slicesOf } from '../catalog/slices.ts'
import { readVersion, sealedCut } from '../catalog/versions.ts'
import type { Job, SliceInfo, ViewProgress } from '../engine/engine.ts'
import { RefoldError } from '../model/errors.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import { chooseMerge, shouldSeal } from '../run/kappa.ts'
import { refoldBadSlices } from './bad-slices.ts'
import type { ServerContext } from './context.ts'
import { engineViewOf } from './engine-spec.ts'
import { publishStagedSlices } from './publish-slices.ts'
import { slicesByRange } from './slices-by-range.ts'

const REST_MS = 5_000

export class Sealing {
  readonly #context: ServerContext
  readonly #merging = new Set<string>()
  #sealing: Promise<void> | undefined
  /** By `view@version`: resolves when its tail may be sealed again. */
  readonly #holds = new Map<string, Promise<void>>()
  #restUntilMs = 0
  #seals = 0
  #merges = 0

  constructor(context: ServerContext) {
    this.#context = context
  }

  get counts(): { readonly seals: number; readonly merges: number } {
    return { seals: this.#seals, merges: this.#merges }
  }

  /** Looks whether something is due; called after reports of the engine and by a timer. Never waits. */
  check(): void {
    const { supervisor, clock } = this.#context
    const progress = supervisor.progress
    if (progress === undefined || this.#context.closing() || clock.monotonicMs() < this.#restUntilMs) return
    if (this.#sealing === undefined) {
      const due = progress.views.filter((view) => this.#isDue(view))
      if (due.length > 0) void this.#seal(due)
    }
  }

  /** Seals these views now, whatever the policy says, and resolves when they are published. */
  async sealNow(views: readonly ViewProgress[]): Promise<void> {
    for (;;) {
      const held = views.find((view) => this.#isHeld(view))
      const wait = held === undefined ? this.#sealing : this.#holds.get(`${held.view}@${held.version}`)
      if (wait === undefined) break
      await wait
    }
    await this.#seal(views)
  }

  /**
   * Seals this version no more until `release`; resolves when no seal is under way. For a batch that is about to take
   * the place of its slices, and folds again what they hold.
   */
  async hold(view: string, version: string): Promise<{ readonly release: () => void }> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const key = `${view}@${version}`
    this.#holds.set(key, promise)
    while (this.#sealing !== undefined) await this.#sealing
    return {
      release: () => {
        this.#holds.delete(key)
        resolve()
      },
    }
  }

  #isHeld({ view, version }: Pick<ViewProgress, 'view' | 'version'>): boolean {
    return this.#holds.has(`${view}@${version}`)
  }

  #seal(due: readonly ViewProgress[]): Promise<void> {
    this.#sealing = this.#sealAll(due).finally(() => {
      this.#sealing = undefined
    })
    return this.#sealing
  }

  #isDue(view: ViewProgress): boolean {
    const { history, catalog, clock, sealPolicy } = this.#context
    if (this.#isHeld(view)) return false
    const sealed = sealedCut(catalog, view.view, view.version)
    if (sealed === undefined) return false
    return shouldSeal(sealPolicy(), {
      rows: view.tailRows,
      bytes: history.bytesAfter(sealed, view.cut),
      ageMs: history.lagMs(sealed, clock.nowMs()),
      commits: view.cut - sealed,
    })
  }

  async #sealAll(due: readonly ViewProgress[]): Promise<void> {
    const { supervisor, folder, logger } = this.#context
    const running = supervisor.running
    if (running === undefined) return
    try {
      const views = due.map(({ view, version }) => ({ view, version }))
      const generations = await running.engine.seal(views, folder.staging)
      for (const { view, version, range, slices } of generations) {
        await publishStagedSlices(this.#context, {
          view,
          version,
          what: 'seal',
          staged: slices,
          replaced: [],
          sealed: range.to,
          epoch: running.epoch,
        })
        this.#seals++
        logger.debug('sealed', { view, from: range.from, to: range.to })
        void this.merge(view, version)
      }
    } catch (error) {
      this.#rest('seal', error)
    }
  }

  /** Merges slices of a version until the policy is content. */
  async merge(view: string, version: string): Promise<void> {
    const key = `${view}@${version}`
    if (this.#merging.has(key)) return
    this.#merging.add(key)
    try {
      while (!this.#context.closing() && (await this.#mergeOnce(view, version))) this.#merges++
    } catch (error) {
      this.#rest('merge', error)
    } finally {
      this.#merging.delete(key)
    }
  }

  async #mergeOnce(view: string, version: string): Promise<boolean> {
    const { catalog, folder, logger } = this.#context
    const row = readVersion(catalog, view, version)
    if (row === undefined || row.state === 'retired' || row.state === 'failed') return false
    // What a batch made stays as it made it.
    const after = layerCut(catalog, view, version) ?? 0
    const all = slicesOf(catalog, view, version)
    const speed = all.filter(({ from, part }) => from >= after && part !== BATCH_PART)
    const ranges = slicesByRange(speed)
    const merge = chooseMerge(ranges.map((slices) => slices.reduce((sum, slice) => sum + slice.bytes, 0)))
    if (merge === undefined) return false
    const inputs = ranges.slice(merge.first, merge.first + merge.count).flat()
    const job = {
      kind: 'compact',
      view: engineViewOf(catalog, row),
      inputs,
      stagingDir: folder.staging,
    } as const
    const slices = await this.#compacted(job)
    if (slices === undefined) return false
    const staged = { view, version, what: 'compact', staged: slices, replaced: inputs } as const
    const done = await publishStagedSlices(this.#context, staged)
    if (done) logger.debug('slices merged', { view, slices: inputs.length })
    return done
  }

  /** Undefined when an input turned out damaged; it is folded again then. */
  async #compacted(job: Extract<Job, { kind: 'compact' }>): Promise<readonly SliceInfo[] | undefined> {
    try {
      return (await this.#context.runJob(job)).slices
    } catch (error) {
      if (!(error instanceof RefoldError && error.code === 'SLICE_CORRUPT')) throw error
      const { path } = { path: undefined, ...(error.details as { readonly path?: string } | undefined) }
      const damaged = job.inputs.filter((slice) => slice.path === path)
      if (damaged.length === 0) throw error
      await refoldBadSlices(this.#context, damaged)
      return undefined
    }
  }

  #rest(step: string, error: unknown): void {
    const { logger, clock } = this.#context
    if (this.#context.closing()) return
    this.#restUntilMs = clock.monotonicMs() + REST_MS
    logger.warn(`${step} failed; tried again later`, {
      reason: error instanceof Error ? error.message : String(error),
    })
  }
}
