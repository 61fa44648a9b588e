/**
 * Building a version of two definitions: its first batch, over everything that there is, in place of a fold of its
 * history. The lake need not be complete up to T yet: the worker reads the hot log after it. No state.
 */

import { rm } from 'node:fs/promises'
import { beginBatch, chooseBatchCut, failBatch } from '../../catalog/batches.ts'
import type { VersionRow } from '../../catalog/versions.ts'
import type { JobOptions } from '../../engine/run-job.ts'
import type { CommitRange } from '../../model/cut.ts'
import type { ServerContext } from '../context.ts'
import { runDefinition } from './batch-definition.ts'
import { batchStaging, type FoldOrder } from './batch-fold.ts'
import { promiseAt, publishLayer } from './batch-run.ts'

export interface FirstBatchOptions {
  readonly signal: AbortSignal
  readonly job?: Pick<JobOptions, 'onStart'>
}

/** Publishes the version's first batch; answers its range and how many events it read. */
export async function buildFirstBatch(
  context: ServerContext,
  row: VersionRow,
  { signal, job = {} }: FirstBatchOptions,
): Promise<CommitRange & { readonly events: number }> {
  const { catalog, log } = context
  const cut = log.state().cut.commit
  const { id } = beginBatch(catalog, row.view, row.version)
  try {
    chooseBatchCut(catalog, id, cut)
    const promise = promiseAt(context, row, cut)
    const order: FoldOrder = { id, row, cut, incremental: false, signal, onWorker: () => {} }
    const layer = await runDefinition(context, { ...order, stagingDir: batchStaging(context, id) }, job)
    context.crash('build.folded')
    const { told } = await context.publications.run(() =>
      publishLayer(context, order, { layer, compared: undefined, promise }, cut),
    )
    await told
    context.crash('build.published')
    return { from: row.start, to: cut, events: layer.events }
  } catch (error) {
    failBatch(catalog, id, error instanceof Error ? error.message : String(error))
    throw error
  } finally {
    await rm(batchStaging(context, id), { recursive: true, force: true })
  }
}
