/**
 * The proof before a view runs in another way: all of its history is folded again from the log, as if there were no
 * slice, and held against what its readers are answered from, both at one cut (law: equal cuts). Live reads and ticks
 * go on meanwhile: the live engine only copies what it answers from, and the past engine folds. No state.
 *
 * Rows are compared twice: as people see them, which is what the deploy shows, and before `finish`, where a group that
 * no answer shows, such as one behind a LIMIT, cannot hide.
 */

import { readVersion } from '../../catalog/versions.ts'
import { pairingOf } from '../../deploy/compare-columns.ts'
import { type CompareQuestion, compareStatements } from '../../deploy/compare-sql.ts'
import { compareSummary } from '../../deploy/compare-summary.ts'
import type { CompareSummary } from '../../deploy/types.ts'
import type { CapturedView, SliceInfo } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import { capturedPlan, mergedPlan, soleStage } from '../../govern/verify-plans.ts'
import { differenceSql } from '../../govern/verify-sql.ts'
import { RefoldError } from '../../model/errors.ts'
import { finishQuery } from '../../plan/queries.ts'
import { randomSeed } from '../../std/random.ts'
import type { ServerContext } from '../context.ts'

/** How long a proof waits for an engine that is starting. */
const ENGINE_WAIT_MS = 60_000
/** Folding all of history may take a while. */
const TIMEOUT_MS = 30 * 60_000

/** Stages what these views answer from, at one cut; the caller deletes the files. */
export async function captureServed(
  { supervisor, folder, clock }: ServerContext,
  views: readonly string[],
  signal: AbortSignal,
): Promise<readonly CapturedView[]> {
  return await supervisor.use(
    (engine) => engine.capture(views, folder.staging, signal),
    clock.monotonicMs() + ENGINE_WAIT_MS,
  )
}

export interface RunProof {
  readonly compare: CompareSummary
  /** Groups before `finish` that differ, seen or not. */
  readonly groups: number
}

export interface ProveRun {
  /** What all events up to the cut come to, where somebody has folded them again; left out: they are folded here. */
  readonly slices?: readonly SliceInfo[]
  readonly sampleRows: number
  readonly signal: AbortSignal
}

/** What was captured against the log, at the cut of the capture. */
export async function proveRun(
  context: ServerContext,
  captured: CapturedView,
  { slices, sampleRows, signal }: ProveRun,
): Promise<RunProof> {
  const { view, version, cut } = captured
  const row = readVersion(context.catalog, view, version)
  if (row === undefined)
    throw new RefoldError('VERSION_UNKNOWN', `view "${view}" has no version "${version}"`)
  const { plan } = row
  const stage = soleStage(plan)
  const tag = `${version} proof ${randomSeed()}`
  const again: PastState = {
    ...context.past.stateAt(view, version, cut, { fromLog: true }),
    ...(slices === undefined ? {} : { slices, border: cut }),
    plan: mergedPlan(plan),
    version: `${tag} again`,
  }
  const served: PastState = {
    ...again,
    plan: capturedPlan(plan),
    version: `${tag} served`,
    slices: [{ ...captured, stage: stage.name, part: 'rows', from: 0, to: cut }],
    border: cut,
    skipped: [],
  }
  const question: CompareQuestion = {
    ...{ pairing: pairingOf(plan, plan), old: plan, new: plan, rules: [], folded: true, sampleRows },
  }
  const finished = (name: string, merged: string) => ({
    sql: `CREATE TEMP TABLE ${name} AS ${finishQuery(plan, `SELECT * FROM ${merged}`)}`,
    limit: 1,
  })
  const differing = differenceSql(stage, 'SELECT * FROM served', 'SELECT * FROM again')
  const before = [
    { sql: `SELECT CAST(count(*) AS BIGINT) AS n FROM (${differing})`, limit: 1 },
    finished('old_rows', 'served'),
    finished('new_rows', 'again'),
    { sql: 'CREATE TEMP VIEW old_again AS SELECT * FROM new_rows', limit: 1 },
    { sql: 'CREATE TEMP VIEW new_again AS SELECT * FROM new_rows', limit: 1 },
  ]
  const answers = await context.past.query({
    states: { served, again },
    statements: [...before, ...compareStatements(question)],
    timeoutMs: TIMEOUT_MS,
    signal,
  })
  const texts = answers.map(({ json }) => json)
  const [counted] = JSON.parse(texts[0] ?? '[]') as readonly { readonly n: number }[]
  const sides = { view, from: version, to: version, cut }
  const compare = compareSummary(sides, question, texts.slice(before.length))
  return { compare, groups: Number(counted?.n ?? 0) }
}

/** Why the gate is red; undefined when it is green. */
export function redOfProof({ compare, groups }: RunProof): string | undefined {
  const { view, cut, changed, added, removed } = compare
  const rows = changed + added + removed
  if (rows === 0 && groups === 0) return undefined
  const what = rows > 0 ? counted(rows, 'row') : `${counted(groups, 'group')} that no answer shows`
  return `view "${view}", folded again from the log, differs in ${what} from what is served at cut ${cut}`
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
