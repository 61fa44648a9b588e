/**
 * Heals versions whose slices do not check: the damaged files are set aside, their ranges are folded again from the
 * log in a worker, and the version goes back into the engine. Until then the view answers VIEW_BUILDING. No state.
 */

import { existsSync } from 'node:fs'
import { recordAudit } from '../catalog/journal.ts'
import { slicesOf } from '../catalog/slices.ts'
import { trimmedBeyond } from '../catalog/trims.ts'
import { readVersion, tickingStates } from '../catalog/versions.ts'
import type { SliceInfo } from '../engine/engine.ts'
import type { CommitRange } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import type { ServerContext } from './context.ts'
import { setAside } from './data-folder.ts'
import { engineViewOf } from './engine-spec.ts'
import { healTrimmed } from './lake/heal-trimmed.ts'
import { referenceCopies } from './plan-batch-layer.ts'
import { publishStagedSlices } from './publish-slices.ts'
import { slicesByRange } from './slices-by-range.ts'

const RETRY_MS = 5_000

/** Never rejects; tries again until the version is whole or gone. */
export async function refoldBadSlices(context: ServerContext, bad: readonly SliceInfo[]): Promise<void> {
  const versions = new Map<string, { view: string; version: string; bad: SliceInfo[] }>()
  for (const slice of bad) {
    const key = `${slice.view}@${slice.version}`
    const entry = versions.get(key) ?? { view: slice.view, version: slice.version, bad: [] }
    entry.bad.push(slice)
    versions.set(key, entry)
  }
  for (const entry of versions.values()) {
    while (!context.closing()) {
      try {
        await heal(context, entry.view, entry.version, entry.bad)
        break
      } catch (error) {
        if (context.closing()) return
        if (error instanceof RefoldError && error.code === 'BASE_CORRUPT') {
          giveUp(context, entry, error)
          break
        }
        const more = damagedSlices(context, entry, error).filter(
          ({ path }) => !entry.bad.some((slice) => slice.path === path),
        )
        entry.bad.push(...more)
        const reason = error instanceof Error ? error.message : String(error)
        context.logger.error('folding a damaged slice again failed', { view: entry.view, reason })
        await context.supervisor.until(() => false, context.clock.monotonicMs() + RETRY_MS)
      }
    }
  }
}

/** The slices of a version that an error of the engine says are damaged. */
export function damagedSlices(
  { catalog }: ServerContext,
  { view, version }: { readonly view: string; readonly version: string },
  error: unknown,
): readonly SliceInfo[] {
  if (!(error instanceof RefoldError) || error.code !== 'SLICE_CORRUPT') return []
  const { paths = [] } = { ...(error.details as { readonly paths?: readonly string[] } | undefined) }
  return slicesOf(catalog, view, version).filter(({ path }) => paths.includes(path))
}

/** Its readers are told what has to come back from a backup; a restart looks again. */
function giveUp(
  { lostBases, logger, catalog }: ServerContext,
  { view, version }: { readonly view: string; readonly version: string },
  error: RefoldError,
): void {
  lostBases.set(`${view}@${version}`, error)
  logger.error('a base is damaged', { view, reason: error.message })
  recordAudit(catalog, 'base damaged', { view, version, reason: error.message })
}

async function heal(
  context: ServerContext,
  view: string,
  version: string,
  bad: readonly SliceInfo[],
): Promise<void> {
  const { catalog, folder, supervisor, pins, logger } = context
  const known = readVersion(catalog, view, version)
  const trim = known === undefined ? undefined : trimmedBeyond(catalog, known.plan.streams, known.start)
  if (known !== undefined && trim !== undefined) await healTrimmed(context, known, trim, bad)
  for (const slice of trim === undefined ? bad : []) {
    if (!existsSync(slice.path)) continue
    const kept = setAside(folder.lostAndFound, slice.path)
    logger.warn('damaged slice set aside; its range is folded again', { view, kept })
  }
  const damaged = new Set(bad.map((slice) => slice.path))
  for (const slices of trim === undefined ? slicesByRange(slicesOf(catalog, view, version)) : []) {
    const [first] = slices
    if (first === undefined || !slices.some((slice) => damaged.has(slice.path))) continue
    await foldAgain(context, slices, { from: first.from, to: first.to })
  }
  const row = readVersion(catalog, view, version)
  if (row === undefined || !tickingStates.includes(row.state)) return
  const deadline = context.clock.monotonicMs() + RETRY_MS
  await supervisor.use(async (engine) => {
    if (supervisor.viewProgress(view, version) === undefined)
      await engine.addVersion(engineViewOf(catalog, row))
  }, deadline)

  async function foldAgain(
    { runJob, streams }: ServerContext,
    replaced: readonly SliceInfo[],
    range: CommitRange,
  ): Promise<void> {
    const row = readVersion(catalog, view, version)
    if (row === undefined) return
    const engineView = engineViewOf(catalog, row)
    await pins.with(async (sources) => {
      const job = { view: engineView, streams: streams(), sources, range, stagingDir: folder.staging }
      // The rows of a batch definition are made by it alone; it is the only part over its range.
      const isBatch = replaced.some(({ part }) => part === BATCH_PART)
      const { slices } = isBatch
        ? await runJob({ kind: 'batch', ...job, copies: referenceCopies(folder.root) })
        : await runJob({ kind: 'fold', ...job })
      await publishStagedSlices(context, { view, version, what: 'refold', staged: slices, replaced })
    })
  }
}
