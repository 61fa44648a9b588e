/**
 * Runs checks: all of them at one cut, over the versions that are to stand for the views' names. Nothing of the live
 * engine is asked: the past engine makes the states. A check that cannot be run is an error and never green. What they
 * say is kept, with an audit entry where a check changes colour. No state.
 */

import { recordChecks, type StoredCheck } from '../../catalog/checks.ts'
import { serving } from '../../catalog/versions.ts'
import type { PlannedFunction } from '../../define/function-def.ts'
import type { CheckDef } from '../../define/types.ts'
import { parseTotals } from '../../deploy/check-rows.ts'
import { compareTotals } from '../../deploy/check-totals.ts'
import {
  type CheckVerdict,
  changedVerdict,
  newViewVerdict,
  nothingVerdict,
  type RuleOf,
  rowsVerdict,
  totalsVerdict,
} from '../../deploy/check-verdict.ts'
import type { CheckResult, CompareSummary } from '../../deploy/types.ts'
import type { Rows } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { type ErrorBody, RefoldError, toErrorBody } from '../../model/errors.ts'
import type { JsonValue } from '../../model/schema.ts'
import { unreachable } from '../../std/assert.ts'
import { Semaphore } from '../../std/semaphore.ts'
import { inTurns } from '../../std/turn.ts'
import type { ServerContext } from '../context.ts'
import { readTruth, TOTALS_ROWS_MAX } from './read-truth.ts'

export interface CheckRun {
  /** Those of the project that is to be served; `checksFor` says which of them a phase runs. */
  readonly checks: readonly CheckDef[]
  /** Functions that their SQL calls, where they are not those of the project that is served. */
  readonly functions?: readonly PlannedFunction[]
  /** Folder of the project. */
  readonly root: string
  readonly cut: CommitSeq
  /** By view: the version that stands for it. Left out: the one that answers. */
  readonly versions: Readonly<Record<string, VersionId>>
  /** For limits on changed rows; a view without one has no version to compare with. */
  readonly compares?: readonly CompareSummary[]
  readonly deploy?: number
  readonly signal?: AbortSignal
}

const AT_ONCE = 2
/** Rows of an invariant that are counted. */
const BROKEN_ROWS_MAX = 1_000

/** The checks that a cutover waits for. */
export function cutoverChecks(checks: readonly CheckDef[]): readonly CheckDef[] {
  return checks.filter((check) => check.cutover)
}

/** In the order of `checks`. Throws only when the signal aborts: then nothing is kept. */
export async function runChecks(context: ServerContext, run: CheckRun): Promise<readonly CheckResult[]> {
  const { recorded } = await runAndRecord(context, run)
  return recorded
}

/** Also says which of the results changed colour. */
export async function runAndRecord(
  context: ServerContext,
  run: CheckRun,
): Promise<{ readonly recorded: readonly CheckResult[]; readonly changed: readonly StoredCheck[] }> {
  const pointers = serving(context.catalog)
  const versions = { ...pointers, ...run.versions }
  const states = statesOf(context, versions, run.cut)
  const places = new Semaphore(AT_ONCE)
  const results = await Promise.all(
    run.checks.map((check) =>
      places.run(async (): Promise<StoredCheck> => {
        const { views, ...verdict } = await judge(context, run, check, states)
        const read = Object.entries(versions).filter(([view]) => views?.includes(view) ?? true)
        return {
          name: check.name,
          cut: run.cut,
          timeMs: context.clock.nowMs(),
          ...verdict,
          ...(run.deploy === undefined ? {} : { deploy: run.deploy }),
          versions: Object.fromEntries(read),
          live: read.every(([view, version]) => pointers[view] === version),
        }
      }, run.signal),
    ),
  )
  run.signal?.throwIfAborted()
  const changed = recordChecks(context.catalog, results)
  for (const { name, verdict, text, cut } of changed) {
    if (verdict === 'green') context.logger.info('check is green', { check: name, cut, text })
    else
      context.logger.warn(`check is ${verdict === 'red' ? 'red' : 'not decided'}`, { check: name, cut, text })
  }
  return { recorded: results.map(toResult), changed }
}

export function toResult({ versions: _versions, live: _live, ...result }: StoredCheck): CheckResult {
  return result
}

interface States {
  readonly states: Readonly<Record<string, PastState>>
  /** Views that have no state at the cut, with why. */
  readonly refused: Readonly<Record<string, ErrorBody>>
}

function statesOf(
  context: ServerContext,
  versions: Readonly<Record<string, VersionId>>,
  cut: CommitSeq,
): States {
  const states: Record<string, PastState> = {}
  const refused: Record<string, ErrorBody> = {}
  for (const [view, version] of Object.entries(versions)) {
    try {
      states[view] = context.past.stateAt(view, version, cut)
    } catch (error) {
      refused[view] = toErrorBody(error)
    }
  }
  return { states, refused }
}

/** `views` are those that it read; left out where that is not known. */
type Judged = CheckVerdict & { readonly views?: readonly string[] }

async function judge(
  context: ServerContext,
  run: CheckRun,
  check: CheckDef,
  states: States,
): Promise<Judged> {
  try {
    return await verdictOf(context, run, check, states).catch((error: unknown) => {
      // Its process ended under it, perhaps for what another question asked of it; the next call starts another.
      if (!(error instanceof RefoldError) || error.code !== 'ENGINE_UNAVAILABLE') throw error
      return verdictOf(context, run, check, states)
    })
  } catch (error) {
    run.signal?.throwIfAborted()
    const { message, code } = toErrorBody(error)
    if (code === 'INTERNAL')
      context.logger.error('a check failed', { check: check.name, error: String(error) })
    return { verdict: 'error', text: `it could not be run: ${message}`, rows: [] }
  }
}

async function verdictOf(
  context: ServerContext,
  run: CheckRun,
  check: CheckDef,
  states: States,
): Promise<Judged> {
  const { rule } = check
  switch (rule.kind) {
    case 'nothing': {
      const found = await askSql(context, run, check, rule.sql, states, BROKEN_ROWS_MAX)
      return { ...nothingVerdict(shownRows(found), found.truncated), views: found.views }
    }
    case 'truth':
      return await totalsOf(context, run, check, rule, states)
    case 'changed': {
      const compare = run.compares?.find(({ view }) => view === rule.view)
      const verdict = compare === undefined ? newViewVerdict(rule.view) : changedVerdict(rule, compare)
      return { ...verdict, views: [rule.view] }
    }
    case 'rows': {
      const count = await countRows(context, run, check, rule, states)
      return { ...rowsVerdict(rule, count), views: [rule.view] }
    }
    default:
      return unreachable(rule)
  }
}

async function totalsOf(
  context: ServerContext,
  run: CheckRun,
  check: CheckDef,
  rule: RuleOf<'truth'>,
  states: States,
): Promise<Judged> {
  const found = await askSql(context, run, check, rule.sql, states, TOTALS_ROWS_MAX)
  if (found.truncated) {
    throw new RefoldError(
      'CHECK_INVALID',
      `its SQL gives more than ${TOTALS_ROWS_MAX} rows; sum them up further`,
    )
  }
  const { name, timeoutMs } = check
  const { root } = run
  const truth = await readTruth({
    check: name,
    truth: rule.truth,
    root,
    past: context.past,
    timeoutMs,
    ...signalOf(run),
  })
  const { key, tolerance } = rule
  // The server's thread takes requests in between.
  const rows = await inTurns(parseTotals(found.json))
  const comparison = await inTurns(compareTotals({ columns: found.columns, rows, truth, key, tolerance }))
  return { ...totalsVerdict(comparison), views: found.views }
}

async function countRows(
  context: ServerContext,
  run: CheckRun,
  check: CheckDef,
  rule: RuleOf<'rows'>,
  { states, refused }: States,
): Promise<number> {
  const state = states[rule.view]
  if (state === undefined) throw missing(rule.view, refused[rule.view])
  const statement = { sql: 'SELECT count(*)::VARCHAR AS "rows" FROM counted', limit: 1 }
  const asked = { timeoutMs: check.timeoutMs, ...signalOf(run) }
  const [answer] = await context.past.query({ states: { counted: state }, statements: [statement], ...asked })
  const [row] = JSON.parse(answer?.json ?? '[]') as readonly { readonly rows: string }[]
  return Number(row?.rows)
}

function missing(view: string, why: ErrorBody | undefined): RefoldError {
  return new RefoldError(
    why?.code ?? 'VIEW_BUILDING',
    why?.message ?? `view "${view}" has no version that answers yet`,
  )
}

/** System tables are left out: they tell of now, not of the cut. */
async function askSql(
  { past, functions }: ServerContext,
  run: CheckRun,
  check: CheckDef,
  sql: string,
  { states, refused }: States,
  limit: number,
): Promise<Rows & { readonly views: readonly string[] }> {
  return await past.sql(
    {
      cut: run.cut,
      states,
      refused,
      sql: { sql, limit, system: {}, functions: run.functions ?? functions() },
    },
    { timeoutMs: check.timeoutMs, ...signalOf(run) },
  )
}

function signalOf({ signal }: CheckRun): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}

/** Whole numbers beyond 2^53 as text, so that no digit is lost on the way to people. */
function shownRows({ json }: Rows): readonly JsonValue[] {
  type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown
  const parse = JSON.parse as (text: string, reviver: Reviver) => readonly JsonValue[]
  return parse(json, (_key, value, { source }) => {
    const isLost = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)
    return isLost ? (source ?? value) : value
  })
}
