/**
 * The images of a live engine: made beside the old ones while ticks go on, one at a time, then swapped in. State: the
 * views that wait for one. Seals use the same line and connection, because both read frozen generations.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { CommitSeq } from '../model/cut.ts'
import { systemClock } from '../std/clock.ts'
import { Serial } from '../std/serial.ts'
import { loadBatchLayer } from './batch-layer.ts'
import { repairDelta } from './delta.ts'
import type { Delta, EngineView, PublishedAs, SealedGeneration } from './engine.ts'
import { imageFromSlices, nextImage } from './image.ts'
import type { LiveState } from './live-state.ts'
import {
  createGeneration,
  freezeGeneration,
  type LiveView,
  newLiveView,
  viewKey,
  withBatch,
  withTail,
} from './live-view.ts'
import { soleStage } from './merged-relation.ts'
import type { ReadSet } from './read-set.ts'
import { sealView } from './seal.ts'
import type { TableName } from './table-store.ts'

/**
 * A new image is made when more partial rows than this came since the last, and than this share of its groups, but
 * making them takes no more than a share of the time: under a flood reads merge a longer tail instead.
 */
export interface ImagePolicy {
  readonly rowsMin: number
  readonly groupsShare: number
  readonly timeShare: number
}

export const imagePolicy: ImagePolicy = { rowsMin: 50_000, groupsShare: 0.1, timeShare: 0.1 }

export class LiveImages {
  readonly #state: LiveState
  readonly #connection: DuckDBConnection
  readonly #policy: ImagePolicy
  readonly #line = new Serial()
  readonly #queued = new Set<LiveView>()
  #loaded = false

  constructor(state: LiveState, connection: DuckDBConnection, policy: ImagePolicy) {
    this.#state = state
    this.#connection = connection
    this.#policy = policy
  }

  /** Takes up a version whose slices check, with the image of its slices. */
  load(spec: EngineView): Promise<void> {
    return this.#state.tables.making(async (name) => {
      const stage = soleStage(spec.plan)
      const image =
        stage.kind === 'rows'
          ? undefined
          : await this.#line.run(() =>
              this.#marked('load', spec, spec.sealed, () =>
                imageFromSlices(this.#connection, name, spec.view, stage, spec.slices, spec.sealed),
              ),
            )
      const layer = await this.#line.run(() => loadBatchLayer(this.#connection, name, spec, spec.slices))
      await this.#state.between.run(async () => {
        const open = await createGeneration(this.#state.tables, spec, spec.sealed)
        this.#state.views.set(viewKey(spec.view, spec.version), newLiveView(spec, { image, layer }, open))
      })
    })
  }

  /** Everything that the engine was started with is there. */
  allLoaded(): void {
    this.#loaded = true
    this.#state.mark.end('load')
  }

  wants(view: LiveView): boolean {
    const { image, generations } = view.readSet
    if (image === undefined) return false
    const { rowsMin, groupsShare, timeShare } = this.#policy
    const waiting = generations.reduce((rows, generation) => rows + generation.rows, 0)
    if (waiting <= Math.max(rowsMin, image.groups * groupsShare)) return false
    return systemClock.monotonicMs() - view.imageMadeAtMs >= view.imageTookMs / timeShare
  }

  /** Freezes the tails of these views at one cut and stages them as slices. */
  async seal(views: readonly LiveView[], stagingDir: string): Promise<readonly SealedGeneration[]> {
    await this.#state.between.run(async () => {
      for (const view of views) await freezeGeneration(this.#state.tables, view)
    })
    const sealed = await this.#line.run(async () => {
      const results = []
      for (const view of views) {
        const seal = () => sealView(this.#connection, view, stagingDir)
        results.push(await this.#marked('seal', view.spec, view.readSet.cut, seal))
      }
      return results
    })
    return sealed.filter((generation) => generation !== undefined)
  }

  async #marked<T>(
    kind: 'load' | 'image' | 'seal',
    { view, version }: EngineView,
    to: CommitSeq,
    work: () => Promise<T>,
  ): Promise<T> {
    const { mark } = this.#state
    const begun = { kind, view, version, to }
    mark.begin(begun)
    try {
      const made = await work()
      if (kind !== 'load') mark.done(begun)
      return made
    } finally {
      // An engine whose first slices cannot be loaded ends for it.
      if (kind !== 'load' || this.#loaded) mark.end(kind)
    }
  }

  /**
   * Reads everything up to where the slices reach from them again: a new image is made beside the old one, and swapped
   * in with the generations after it. Slices that are published meanwhile are read too.
   */
  async reload(view: LiveView, as: Pick<PublishedAs, 'batch' | 'repair'>): Promise<void> {
    const began = systemClock.monotonicMs()
    await this.#line.run(() =>
      this.#state.tables.making(async (name) => {
        while (!(await this.#reloadOnce(view, name, as))) {}
      }),
    )
    view.imageMadeAtMs = systemClock.monotonicMs()
    view.imageTookMs = view.imageMadeAtMs - began
    await this.#state.sweep()
  }

  async #reloadOnce(
    view: LiveView,
    name: TableName,
    { batch, repair }: Pick<PublishedAs, 'batch' | 'repair'>,
  ): Promise<boolean> {
    const stage = soleStage(view.spec.plan)
    const { slices, sealed, spec } = view
    const image =
      stage.kind === 'rows'
        ? undefined
        : await this.#marked('image', spec, sealed, () =>
            imageFromSlices(this.#connection, name, spec.view, stage, slices, sealed),
          )
    const layer = await loadBatchLayer(this.#connection, name, spec, slices)
    return await this.#state.between.run(async () => {
      if (view.slices !== slices) return false
      const before = view.readSet
      const after = withBatch(withTail(view, image), batch, layer)
      if (after.cut > before.cut) view.tickCuts.push(after.cut)
      view.previous = before
      view.readSet = after
      if (repair !== undefined) this.#noteRepair(view, repair, { ...before, cut: after.cut }, after)
      return true
    })
  }

  #noteRepair(view: LiveView, batch: number, before: ReadSet, after: ReadSet): void {
    const { tables, settings } = this.#state
    // Both are compared whole, which is only worth it where somebody follows the view.
    let made: Promise<Delta> | undefined
    const delta = () => {
      made ??= tables.pinned([before, after], () =>
        repairDelta(this.#connection, before, after, settings.statementTimeoutMs),
      )
      return made
    }
    view.repair = { batch, before, after, delta, madeAtMs: systemClock.monotonicMs() }
    view.repaired = batch
  }

  /** Makes the view's next image in the background, then swaps it in. */
  queue(view: LiveView): void {
    if (this.#queued.has(view)) return
    this.#queued.add(view)
    void this.#line
      .run(() => this.#make(view))
      .catch((error: unknown) => {
        process.stderr.write(`refold engine: no new image for view "${view.spec.view}": ${String(error)}\n`)
      })
      .finally(() => this.#queued.delete(view))
  }

  async #make(view: LiveView): Promise<void> {
    const stage = soleStage(view.spec.plan)
    if (stage.kind === 'rows' || !this.#state.views.has(viewKey(view.spec.view, view.spec.version))) return
    await this.#state.between.run(() => freezeGeneration(this.#state.tables, view))
    const at = view.readSet
    const frozen: ReadSet = {
      ...at,
      generations: at.generations.filter((generation) => generation.to !== undefined),
    }
    const cut = frozen.generations.at(-1)?.to
    if (cut === undefined) return
    const began = systemClock.monotonicMs()
    await this.#state.tables.making(async (name) => {
      const image = await this.#state.tables.pinned([frozen], () =>
        this.#marked('image', view.spec, cut, () =>
          nextImage(this.#connection, name, stage, { ...frozen, cut }),
        ),
      )
      await this.#state.between.run(async () => {
        const { rowsAfter: _, ...now } = view.readSet
        view.previous = view.readSet
        view.readSet = {
          ...now,
          image,
          generations: now.generations.filter(
            (generation) => generation.to === undefined || generation.to > cut,
          ),
        }
      })
    })
    view.imageMadeAtMs = systemClock.monotonicMs()
    view.imageTookMs = view.imageMadeAtMs - began
    await this.#state.sweep()
  }
}
