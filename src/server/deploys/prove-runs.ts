/**
 * The proofs of a deploy for the views that are to run in another way. State: none; what a proof publishes is a batch,
 * which changes no row.
 *
 * A view that is to run as lambda is proved by its first batch: the batch folds all of history from the lake, and what it
 * comes to is held against what is served at its own cut T. Where they differ it is not published, until somebody
 * accepts: a repair is a change that readers see. Until the cutover nothing says that the view has a T.
 */

import { rm } from 'node:fs/promises'
import { newestBatch } from '../../catalog/batches.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { CompareBatch } from '../batch/compare-batch.ts'
import type { ServerContext } from '../context.ts'
import type { DeployParts } from './deploy-parts.ts'
import type { Deploy, DeployedView } from './deploy-record.ts'
import { captureServed, proveRun, type RunProof, redOfProof } from './prove-run.ts'

/** Rows that are kept with the deploy, of each view. */
const SAMPLE_ROWS = 20

/** The cut at which a deploy is proved, and how far all its versions have come by now. */
export interface ProofOrder {
  readonly cut: CommitSeq
  readonly reached: () => CommitSeq
  /** A version of the deploy cannot go on; undefined while all can. */
  readonly stalled: () => RefoldError | undefined
  readonly signal: AbortSignal
}

/** The cut at which the rest of the deploy is to be proved: every view here was proved at it, or at an earlier one. */
export interface RunProofs {
  readonly cut: CommitSeq
  readonly proofs: readonly RunProof[]
}

export async function proveRuns(
  parts: DeployParts,
  deploy: Deploy,
  { cut, reached, stalled, signal }: ProofOrder,
): Promise<RunProofs> {
  const { context } = parts
  const views = (deploy.outcome.views ?? []).filter(({ run }) => run !== undefined && run.proof !== 'none')
  if (views.length === 0) return { cut, proofs: [] }
  const isBatch = ({ run }: DeployedView) => run?.proof === 'batch' && !deploy.request.options.shadow
  const proofs: RunProof[] = []
  for (const { view } of views.filter(isBatch)) proofs.push(await firstBatch(parts, deploy, view, signal))
  const others = views.filter((moved) => !isBatch(moved)).map(({ view }) => view)
  const folded = others.length === 0 ? [] : await proveServed(context, others, signal)
  proofs.push(...folded)
  const at = Math.max(cut, ...proofs.map(({ compare }) => compare.cut))
  const isThere = () => reached() >= at || stalled() !== undefined || context.closing()
  await context.supervisor.until(isThere, undefined, signal)
  const problem = stalled()
  if (problem !== undefined) throw problem
  return { cut: at, proofs }
}

/** After a red gate was passed: what its batches would not publish. */
export async function publishFirstBatches(
  parts: DeployParts,
  deploy: Deploy,
  signal: AbortSignal,
): Promise<void> {
  const { catalog } = parts.context
  for (const { view, run, to } of deploy.outcome.views ?? []) {
    if (run?.proof !== 'batch') continue
    const last = newestBatch(catalog, view, ['published'], to)
    if (last === undefined || last.startedMs < deploy.createdMs) await firstBatch(parts, deploy, view, signal)
  }
}

/** The batch is held here; everything else that ends one is an error. */
class Held extends Error {
  override readonly name = 'Held'
}

async function firstBatch(
  { context, runBatch }: DeployParts,
  deploy: Deploy,
  view: string,
  signal: AbortSignal,
): Promise<RunProof> {
  const isAccepted = deploy.request.options.accept !== undefined || deploy.outcome.accepted !== undefined
  let proof: RunProof | undefined
  const hold: CompareBatch = async (_, { captured, slices, signal: ended }) => {
    proof = await proveRun(context, captured, { slices, sampleRows: SAMPLE_ROWS, signal: ended })
    const red = redOfProof(proof)
    if (red !== undefined && !isAccepted) throw new Held(`deploy ${deploy.id} waits for a word: ${red}`)
  }
  try {
    await runBatch(view, hold, signal)
  } catch (error) {
    if (!(error instanceof Held)) throw error
  }
  if (proof === undefined) {
    throw new RefoldError(
      'ENGINE_UNAVAILABLE',
      `view "${view}" served nothing to hold its first batch against`,
    )
  }
  return proof
}

/** Folds all of history again in the past engine, for views of which nothing is to be published. */
async function proveServed(
  context: ServerContext,
  views: readonly string[],
  signal: AbortSignal,
): Promise<readonly RunProof[]> {
  const captured = await captureServed(context, views, signal)
  try {
    const [first] = captured
    if (captured.length < views.length || captured.some(({ cut }) => cut !== first?.cut)) {
      throw new RefoldError('ENGINE_UNAVAILABLE', 'the views of a deploy do not stand at one cut')
    }
    const proofs: RunProof[] = []
    for (const one of captured) proofs.push(await proveRun(context, one, { sampleRows: SAMPLE_ROWS, signal }))
    return proofs
  } finally {
    for (const { path } of captured) await rm(path, { force: true })
  }
}
