/**
 * Verifies one view with two definitions at one cut: its slice files by their checksums, and the rows that readers are
 * served against those that both definitions give again from the log alone, with the boundary where it stood. What
 * differs is located to the key of its row. No state; it changes nothing.
 */

import { rm } from 'node:fs/promises'
import { relative } from 'node:path'
import { slicesOf } from '../../catalog/slices.ts'
import type { VersionRow } from '../../catalog/versions.ts'
import type { CapturedView, SliceInfo } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import type { VerifyFinding, VerifyReport } from '../../govern/types.ts'
import { rowsPlan, soleStage } from '../../govern/verify-plans.ts'
import { type JsonValue, quoteIdentifier } from '../../model/schema.ts'
import type { BatchPlan, ViewPlan } from '../../plan/plan.ts'
import { randomSeed } from '../../std/random.ts'
import type { ServerContext } from '../context.ts'
import { DETAILS_MAX, VERIFY_TIMEOUT_MS, type VerifyOne } from './verify-run.ts'

/** DOUBLEs are summed in whatever order threads take them. */
const TOLERANCE = 1e-9

export async function verifyDefinitions(
  context: ServerContext,
  request: VerifyOne,
  row: VersionRow,
  batch: BatchPlan,
  damaged: readonly SliceInfo[],
): Promise<VerifyReport> {
  const { view, version, cut, share, captured } = request
  const beganMs = context.clock.monotonicMs()
  const options = captured === undefined ? {} : { lateCut: captured.batch ?? 0 }
  const tag = `${version} verify ${randomSeed()}`
  const again = {
    ...context.past.stateAt(view, version, cut, { ...options, fromLog: true }),
    version: `${tag} again`,
  }
  const served: PastState =
    captured === undefined
      ? { ...context.past.stateAt(view, version, cut), version: `${tag} served` }
      : capturedState(again, captured, row.plan, `${tag} captured`)
  const [, , counted, all, rows] = (
    await context.past.query({
      states: { served, again },
      statements: [
        { sql: differingSql(row.plan, batch), limit: 1 },
        { sql: sampleSql(batch, share, cut), limit: 1 },
        { sql: 'SELECT CAST(count(*) AS BIGINT) AS n FROM differing', limit: 1 },
        { sql: 'SELECT CAST(count(*) AS BIGINT) AS n FROM again', limit: 1 },
        { sql: 'SELECT * FROM differing ORDER BY rowid', limit: DETAILS_MAX },
      ],
      timeoutMs: VERIFY_TIMEOUT_MS,
      signal: request.signal,
    })
  ).map(({ json }) => JSON.parse(json) as readonly Readonly<Record<string, JsonValue>>[])
  if (captured !== undefined) await rm(captured.path, { force: true })
  const findings = [
    ...damaged.map((slice) => damagedSlice(context, slice)),
    ...(rows ?? []).map((one) => wrongRow(batch, one)),
  ]
  const differing = Number(counted?.[0]?.['n'] ?? 0)
  return {
    ...{ view, version, cut, from: row.start, share, timeMs: context.clock.nowMs() },
    tookMs: Math.round(context.clock.monotonicMs() - beganMs),
    groups: Number(all?.[0]?.['n'] ?? 0),
    slices: slicesOf(context.catalog, view, version).length,
    found: damaged.length + differing,
    findings,
  }
}

/** The captured rows, as a state of rows that one file holds. */
function capturedState(again: PastState, captured: CapturedView, plan: ViewPlan, version: string): PastState {
  const { view, cut, path, rows, bytes, checksum } = captured
  const { definition: _, ...state } = again
  const stage = soleStage(plan).name
  const slice = { view, version, stage, part: 'rows', from: 0, to: cut, path, rows, bytes, checksum }
  return { ...state, plan: rowsPlan(plan), version, slices: [slice], border: cut, skipped: [] }
}

/** A table of the rows that differ: the key's columns as text, and both rows. */
function differingSql({ columns }: ViewPlan, { key }: BatchPlan): string {
  const keys = key.map(({ column }) => quoteIdentifier(column))
  const on = keys.map((name) => `s.${name} IS NOT DISTINCT FROM r.${name}`).join(' AND ')
  const differs = columns.map(({ name, type }) => {
    const [served, right] = [`s.${quoteIdentifier(name)}`, `r.${quoteIdentifier(name)}`]
    if (type !== 'DOUBLE' && type !== 'FLOAT') return `${served} IS DISTINCT FROM ${right}`
    const near = `abs(${served} - ${right}) <= ${TOLERANCE} * greatest(1, abs(${served}), abs(${right}))`
    return `(${served} IS DISTINCT FROM ${right} AND NOT coalesce(${near}, false))`
  })
  const there = (name: string) => `(SELECT *, true AS "$there" FROM ${name})`
  const shown = keys.map((name) => `CAST(coalesce(s.${name}, r.${name}) AS VARCHAR) AS ${name}`)
  const rowOf = (side: string) => {
    const values = columns.map(({ name }) => `${quoteIdentifier(name)} := ${side}.${quoteIdentifier(name)}`)
    return `CASE WHEN ${side}."$there" THEN to_json(struct_pack(${values.join(', ')})) END`
  }
  return (
    `CREATE OR REPLACE TEMP TABLE differing AS SELECT ${shown.join(', ')}, ${rowOf('s')} AS "$served", ` +
    `${rowOf('r')} AS "$right" FROM ${there('served')} AS s FULL JOIN ${there('again')} AS r ON ${on} ` +
    `WHERE s."$there" IS NULL OR r."$there" IS NULL OR ${differs.join(' OR ')} ORDER BY ${keys.map((_, index) => index + 1).join(', ')}`
  )
}

/** Leaves out what a run over a share of the rows does not look at; another share for another cut. */
function sampleSql({ key }: BatchPlan, share: number, cut: number): string {
  const keys = key.map(({ column }) => quoteIdentifier(column)).join(', ')
  const outside = share >= 1 ? 'false' : `hash(${keys}, ${cut}) % 1000000 >= ${Math.ceil(share * 1_000_000)}`
  return `DELETE FROM differing WHERE ${outside}`
}

function damagedSlice({ folder }: ServerContext, slice: SliceInfo): VerifyFinding {
  const path = relative(folder.root, slice.path)
  const { from, to } = slice
  const text = `slice "${path}" of cuts ${from} to ${to} does not match its checksum`
  return { kind: 'damaged slice', place: { kind: 'slice', path, from, to }, text }
}

function wrongRow({ key }: BatchPlan, row: Readonly<Record<string, JsonValue>>): VerifyFinding {
  const keys = key.map(({ column }) => [column, row[column] === null ? null : String(row[column])] as const)
  const shown = keys.map(([name, value]) => `${name} = ${value ?? 'NULL'}`).join(', ')
  const parsed = (value: JsonValue | undefined): JsonValue =>
    typeof value === 'string' ? (JSON.parse(value) as JsonValue) : (value ?? null)
  const [served, right] = [parsed(row['$served']), parsed(row['$right'])]
  const what =
    served === null
      ? 'is missing'
      : right === null
        ? 'should not be there'
        : 'is not what both definitions give'
  const text = `the row with ${shown} ${what}; the next batch puts it right`
  return { kind: 'wrong row', place: { kind: 'memory' }, key: Object.fromEntries(keys), served, right, text }
}
