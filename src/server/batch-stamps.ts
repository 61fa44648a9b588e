/**
 * What an answer says of the batch layers that it read: where each ends, how old it is, how much time the speed layer
 * spans, which columns are approximate, and why nothing newer was read. State: what the catalog says of lambda views,
 * kept while the catalog is unchanged, because every answer asks.
 */

import { type BatchRow, batchCut, publishedBatches } from '../catalog/batches.ts'
import { runs } from '../catalog/runs.ts'
import { readVersion } from '../catalog/versions.ts'
import type { ReadStamp } from '../engine/engine.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { BatchMeta } from '../serve/core.ts'
import { spanMs } from './batch/layer-state.ts'
import type { ServerContext } from './context.ts'

/** Newest published batches that are looked at: an engine may be a batch behind the catalog for a moment. */
const BATCHES_MAX = 20

export class BatchStamps {
  readonly #context: ServerContext
  #revision = -1
  /** By lambda view, newest first. */
  #published: ReadonlyMap<string, readonly BatchRow[]> = new Map()
  /** By version, which never changes. */
  readonly #approximate = new Map<VersionId, readonly string[]>()

  constructor(context: ServerContext) {
    this.#context = context
  }

  /** Undefined where no view of the answer has a batch layer. */
  of(answer: Pick<ReadStamp, 'cut' | 'versions' | 'paused' | 'stalledAt' | 'batches'>) {
    const published = this.#current()
    if (published.size === 0) return undefined
    const metas: Record<string, BatchMeta> = {}
    for (const view in answer.versions) {
      const version = answer.versions[view] ?? ''
      const own = published.get(view)?.filter((batch) => batch.version === version) ?? []
      const read = answer.batches?.[view]
      const batch = own.find(({ cut }) => read === undefined || cut === read) ?? own.at(-1)
      const cut = read ?? batch?.cut
      if (batch === undefined || cut === undefined) continue
      const at = answer.stalledAt?.[view] ?? answer.cut
      metas[view] = this.#meta(view, version, { ...batch, cut }, at, answer.paused?.[view])
    }
    return Object.keys(metas).length === 0 ? undefined : metas
  }

  #meta(
    view: string,
    version: VersionId,
    batch: BatchRow,
    at: CommitSeq,
    stale: string | undefined,
  ): BatchMeta {
    const { cut, endedMs, startedMs } = batch
    const publishedMs = endedMs ?? startedMs
    const approximate = at > cut ? this.#approximateColumns(view, version) : []
    return {
      cut,
      at: new Date(publishedMs).toISOString(),
      ageMs: Math.max(0, this.#context.clock.nowMs() - publishedMs),
      spanMs: stale === undefined ? Math.round(spanMs(this.#context, batch)) : 0,
      ...(approximate.length === 0 ? {} : { approximate }),
      ...(stale === undefined ? {} : { stale }),
    }
  }

  #approximateColumns(view: string, version: VersionId): readonly string[] {
    const known = this.#approximate.get(version)
    if (known !== undefined) return known
    const columns = readVersion(this.#context.catalog, view, version)?.plan.batch?.approximate ?? []
    this.#approximate.set(version, columns)
    return columns
  }

  #current(): ReadonlyMap<string, readonly BatchRow[]> {
    const { catalog } = this.#context
    if (this.#revision === catalog.revision) return this.#published
    this.#revision = catalog.revision
    const lambdas = Object.entries(runs(catalog)).filter(([, run]) => run.kind === 'lambda')
    this.#published = new Map(
      lambdas.map(([view]) => {
        const newest = publishedBatches(catalog, view, BATCHES_MAX)
        // One of the time before the view ran otherwise is no layer of it any more.
        const isLayer = ({ version }: BatchRow) => batchCut(catalog, view, version) > 0
        return [view, newest.filter(isLayer)] as const
      }),
    )
    return this.#published
  }
}
