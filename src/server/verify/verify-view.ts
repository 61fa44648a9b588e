/**
 * Verifies one view at one cut: the slice files by their checksums, then what readers are served, and what the slices
 * hold, each against the version folded again from the log by the past engine. What differs is located by
 * `LocateFaults`. No state of its own; it changes nothing.
 */

import { rm } from 'node:fs/promises'
import { relative } from 'node:path'
import { fitsLateCut } from '../../catalog/late-cuts.ts'
import { slicesOf } from '../../catalog/slices.ts'
import { readVersion, type VersionRow } from '../../catalog/versions.ts'
import type { CapturedView, SliceInfo } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import type { VerifyFinding, VerifyReport } from '../../govern/types.ts'
import { capturedPlan, keysOf, mergedPlan, sampleCondition, soleStage } from '../../govern/verify-plans.ts'
import { differenceSql, type GroupDifference } from '../../govern/verify-sql.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { quoteLiteral } from '../../model/schema.ts'
import { tallyQuery } from '../../plan/queries.ts'
import { must } from '../../std/assert.ts'
import { sumFile } from '../../std/file-sum.ts'
import { randomSeed } from '../../std/random.ts'
import type { ServerContext } from '../context.ts'
import { lateCutOf } from '../past/past-layers.ts'
import { damagedSlices, locateFaults } from './locate-faults.ts'
import { verifyDefinitions } from './verify-definitions.ts'
import { DETAILS_MAX, toDifference, VERIFY_TIMEOUT_MS, type VerifyOne, type VerifyRun } from './verify-run.ts'

export async function verifyView(context: ServerContext, request: VerifyOne): Promise<VerifyReport> {
  const { view, version, cut, share, captured } = request
  const beganMs = context.clock.monotonicMs()
  const row = readVersion(context.catalog, view, version)
  if (row === undefined)
    throw new RefoldError('VERSION_UNKNOWN', `view "${view}" has no version "${version}"`)
  const current = slicesOf(context.catalog, view, version)
  const damaged = await filesThatDoNotCheck(current)
  const { batch } = row.plan
  if (batch !== undefined) return await verifyDefinitions(context, request, row, batch, damaged)
  const run = runOf(context, request, row, current)
  const findings: VerifyFinding[] = [...(await damagedSlices(run, damaged))]
  const differing = await differences(run, damaged.length === 0)
  const located = await locateFaults(run, differing.groups, damaged)
  findings.push(...located)
  findings.push(...(await otherTallies(run, current, findings)))
  if (captured !== undefined) await rm(captured.path, { force: true })
  return {
    ...{ view, version, cut, from: run.from, share, timeMs: context.clock.nowMs() },
    tookMs: Math.round(context.clock.monotonicMs() - beganMs),
    ...{ groups: differing.compared, slices: current.length },
    found: findings.length + Math.max(0, differing.count - differing.groups.length),
    findings,
  }
}

function runOf(
  context: ServerContext,
  request: VerifyOne,
  row: VersionRow,
  current: readonly SliceInfo[],
): VerifyRun {
  const { view, version, cut, captured, share } = request
  const stage = soleStage(row.plan)
  const condition = sampleCondition(stage, share, cut)
  const tag = `${version} verify ${randomSeed()}`
  // What was captured stands on a batch of its own; another may have been published since.
  const known = captured === undefined ? {} : { batches: { [view]: captured.batch ?? 0 } }
  const lateCut = lateCutOf(context, { view, version, cut }, known)
  const at = lateCut === undefined ? {} : { lateCut }
  const again = {
    ...context.past.stateAt(view, version, cut, { ...at, fromLog: true }),
    plan: mergedPlan(row.plan, condition),
    version: `${tag} again`,
  }
  const served: PastState =
    captured === undefined
      ? {
          ...context.past.stateAt(view, version, cut, at),
          plan: mergedPlan(row.plan, condition),
          version: `${tag} served`,
        }
      : {
          ...again,
          plan: capturedPlan(row.plan, condition),
          version: `${tag} captured`,
          slices: [capturedSlice(captured, stage.name)],
          border: cut,
          skipped: [],
        }
  const fits = (slice: SliceInfo) => lateCut === undefined || fitsLateCut(slice, lateCut)
  const slices = current.filter((slice) => slice.to <= cut && fits(slice))
  return { ...request, context, row, from: again.border, slices, states: { served, again }, tag }
}

function capturedSlice(captured: CapturedView, stage: string): SliceInfo {
  const { view, version, cut, path, rows, bytes, checksum } = captured
  return { view, version, stage, part: 'rows', from: 0, to: cut, path, rows, bytes, checksum }
}

async function filesThatDoNotCheck(slices: readonly SliceInfo[]): Promise<readonly SliceInfo[]> {
  const bad: SliceInfo[] = []
  for (const slice of slices) {
    const sum = await sumFile(slice.path).catch(() => undefined)
    if (sum?.bytes !== slice.bytes || sum.checksum !== slice.checksum) bad.push(slice)
  }
  return bad
}

interface Differing {
  /** The first, in the order of their keys. */
  readonly groups: readonly GroupDifference[]
  readonly count: number
  readonly compared: number
}

/** Served rows against the log's; where every file checks, also the rows that the slices hold. */
async function differences(run: VerifyRun, withSlices: boolean): Promise<Differing> {
  const stage = soleStage(run.row.plan)
  const fromSlices = withSlices ? slicesState(run) : undefined
  const pairs = ['served', ...(fromSlices === undefined ? [] : ['stored'])]
  const compared = pairs
    .map((name) => `SELECT * FROM (${differenceSql(stage, `SELECT * FROM ${name}`, 'SELECT * FROM again')})`)
    .join(' UNION ALL ')
  const keys = keysOf(stage).map((_, index) => index + 1)
  const columns = keysOf(stage).length + 3
  const order = [...keys, columns - 2].join(', ')
  const answers = await run.context.past.query({
    states: { ...run.states, ...(fromSlices === undefined ? {} : { stored: fromSlices }) },
    statements: [
      {
        sql: `CREATE TEMP TABLE differing AS SELECT DISTINCT * FROM (${compared}) ORDER BY ${order}`,
        limit: 1,
      },
      { sql: 'SELECT CAST(count(*) AS BIGINT) AS n FROM differing', limit: 1 },
      { sql: 'SELECT CAST(count(*) AS BIGINT) AS n FROM again', limit: 1 },
      { sql: 'SELECT * FROM differing ORDER BY rowid', limit: DETAILS_MAX },
    ],
    timeoutMs: VERIFY_TIMEOUT_MS,
    signal: run.signal,
  })
  const [, counted, all, first] = answers.map(
    ({ json }) => JSON.parse(json) as readonly Record<string, unknown>[],
  )
  return {
    count: Number(counted?.[0]?.n ?? 0),
    compared: Number(all?.[0]?.n ?? 0),
    groups: must(first, 'four answers').map((difference) => toDifference(run, difference)),
  }
}

/** What the slices hold, and the events after them; undefined where there is none to hold against the log. */
function slicesState(run: VerifyRun): PastState | undefined {
  const { row, slices, states, tag, cut } = run
  if (slices.length === 0 || !isChain(slices, Math.min(row.start, cut))) return undefined
  const border = Math.max(...slices.map(({ to }) => to))
  return { ...states.again, version: `${tag} stored`, slices, border }
}

/** Slices that check and are what the log gives, as far as that was found, and yet not what was recorded of them. */
async function otherTallies(
  run: VerifyRun,
  slices: readonly SliceInfo[],
  found: readonly VerifyFinding[],
): Promise<readonly VerifyFinding[]> {
  const stage = soleStage(run.row.plan)
  const named = new Set(found.flatMap(({ place }) => (place.kind === 'slice' ? [place.path] : [])))
  const recorded = slices.flatMap((slice) => {
    const sql = tallyQuery(stage, slice.part, `FROM read_parquet(${quoteLiteral(slice.path)})`)
    const path = relative(run.context.folder.root, slice.path)
    return sql === undefined || slice.events === undefined || named.has(path) ? [] : [{ slice, sql, path }]
  })
  const answers = await run.context.past.query({
    states: {},
    statements: recorded.map(({ sql }) => ({ sql, limit: 1 })),
    timeoutMs: VERIFY_TIMEOUT_MS,
    signal: run.signal,
  })
  return recorded.flatMap(({ slice, path }, index): VerifyFinding[] => {
    const [held] = JSON.parse(must(answers[index], 'an answer each').json) as Pick<
      SliceInfo,
      'events' | 'positions'
    >[]
    if (held?.events === slice.events && held?.positions === slice.positions) return []
    const { from, to } = slice
    const text = `slice "${path}" of cuts ${from} to ${to} holds ${held?.events} events, and ${slice.events} were folded into it`
    return [{ kind: 'damaged slice', place: { kind: 'slice', path, from, to }, text }]
  })
}

/** Whether slices of each part follow each other from a cut on. */
function isChain(slices: readonly SliceInfo[], from: CommitSeq): boolean {
  const parts = Map.groupBy(slices, ({ part }) => part)
  return [...parts.values()].every((own) => {
    const sorted = [...own].sort((a, b) => a.from - b.from)
    return sorted.every((slice, index) => slice.from === (sorted[index - 1]?.to ?? from))
  })
}
