/**
 * Snapshots of views that run as hybrid: made on their schedules, the newest kept, and where replays of a version begin.
 * State: which view's snapshot is being made.
 */

import { join } from 'node:path'
import { restoreChain } from '../../catalog/bases.ts'
import { runningSince, runs } from '../../catalog/runs.ts'
import { pastSlicesOf, slicesOf } from '../../catalog/slices.ts'
import { readVersion, sealedCut, serving, type VersionRow } from '../../catalog/versions.ts'
import { addSnapshot, forgetSnapshots, viewSnapshots } from '../../catalog/view-snapshots.ts'
import type { HybridDef } from '../../define/types.ts'
import { engineId } from '../../engine/engine-id.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { snapshotDue, snapshotsBefore, snapshotsToForget } from '../../run/hybrid.ts'
import type { ServerContext } from '../context.ts'
import { firstDamaged } from '../lake/promote-base.ts'
import type { Sealing } from '../sealing.ts'

const FORGET_MS = 60_000

export class Snapshots {
  readonly #context: ServerContext
  readonly #sealing: Sealing
  #making: Promise<void> | undefined
  #lookedAtMs = Number.NEGATIVE_INFINITY

  constructor(context: ServerContext, sealing: Sealing) {
    this.#context = context
    this.#sealing = sealing
  }

  /** Called by a timer: makes what is due, one at a time. Never waits. */
  tick(): void {
    const { catalog, clock, logger, supervisor } = this.#context
    if (this.#making !== undefined || this.#context.closing()) return
    const pointers = serving(catalog)
    this.#forgetOthers()
    for (const [view, run] of Object.entries(runs(catalog))) {
      const version = pointers[view]
      if (run.kind !== 'hybrid' || version === undefined) continue
      const last = viewSnapshots(catalog, view)
        .filter((snapshot) => snapshot.version === version)
        .at(-1)
      if (!snapshotDue(run, last?.madeMs, runningSince(catalog, view), clock.nowMs())) continue
      const progress = supervisor.viewProgress(view, version)
      if (progress === undefined || progress.cut <= (last?.cut ?? 0)) continue
      this.#making = this.#make(view, version, run)
        .catch((error: unknown) => logger.warn('a snapshot failed', { view, reason: String(error) }))
        .finally(() => {
          this.#making = undefined
        })
      return
    }
  }

  /** Views that no longer run as hybrid keep no snapshots. */
  #forgetOthers(): void {
    const { catalog, clock } = this.#context
    if (clock.monotonicMs() - this.#lookedAtMs < FORGET_MS) return
    this.#lookedAtMs = clock.monotonicMs()
    const ways = runs(catalog)
    forgetSnapshots(
      catalog,
      viewSnapshots(catalog).filter(({ view }) => ways[view]?.kind !== 'hybrid'),
    )
  }

  async settled(): Promise<void> {
    await this.#making
  }

  async #make(view: string, version: string, { keep }: HybridDef): Promise<void> {
    const { catalog, supervisor, publications, logger } = this.#context
    const progress = supervisor.viewProgress(view, version)
    if (progress !== undefined) await this.#sealing.sealNow([progress])
    // In the turn of publications: no merge takes the place of the chain meanwhile.
    await publications.run(async () => {
      const cut = sealedCut(catalog, view, version) ?? 0
      const chain = slicesOf(catalog, view, version)
      if (chain.length === 0) return
      addSnapshot(catalog, { view, version, cut, engine: engineId(), paths: chain.map(({ path }) => path) })
      forgetSnapshots(catalog, snapshotsToForget(viewSnapshots(catalog, view), keep))
      logger.debug('snapshot made', { view, cut })
    })
  }
}

/**
 * Gives a version that has no slices those of its nearest snapshot whose files check; answers the snapshot's cut, 0
 * without one.
 */
export async function beginWithSnapshot(
  { catalog, folder, log, logger }: ServerContext,
  { view, version, start }: VersionRow,
): Promise<CommitSeq> {
  const known = viewSnapshots(catalog, view)
  const durable = log.state().cut.commit
  for (const { cut } of snapshotsBefore(known, version, engineId(), durable)) {
    const snapshot = known.find((one) => one.version === version && one.cut === cut)
    const wanted = new Set((snapshot?.paths ?? []).map((path) => join(folder.root, path)))
    const slices = pastSlicesOf(catalog, view, version).filter(({ path }) => wanted.has(path))
    const isWhole = slices.length === wanted.size && slices.length > 0
    if (!isWhole || slices[0]?.from !== start || (await firstDamaged(slices)) !== undefined) {
      forgetSnapshots(catalog, [{ view, version, cut }])
      continue
    }
    if ((readVersion(catalog, view, version)?.sealed ?? start) !== start) return 0
    restoreChain(catalog, { view, version, kept: [...wanted], added: [], damaged: [], sealed: cut })
    logger.info('a replay begins at a snapshot', { view, version: version.slice(0, 12), cut })
    return cut
  }
  return 0
}
