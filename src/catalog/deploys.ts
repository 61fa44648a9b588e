/**
 * Deploys as they are kept: who asked for what, what the plan said, how far it came. Functions over the catalog; no
 * state here. What request, plan and outcome hold is known to `deploy/`; here they are JSON. A step that also moves
 * versions or pointers runs inside the caller's transaction, so a deploy never says other than its versions do.
 */

import type { JsonValue } from '../model/schema.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'

export interface DeployRow {
  readonly id: number
  readonly state: string
  readonly who: string
  readonly request: JsonValue
  readonly plan: JsonValue
  readonly outcome: JsonValue
  readonly reason: string | null
  readonly createdMs: number
  readonly changedMs: number
}

export type NewDeploy = Pick<DeployRow, 'who' | 'request' | 'plan' | 'state'>

export interface DeployStep {
  readonly state?: string
  readonly outcome?: JsonValue
  readonly reason?: string | null
}

/** Answers the deploy's number. */
export function addDeploy(catalog: Catalog, { who, request, plan, state }: NewDeploy): number {
  const now = catalog.clock.nowMs()
  return catalog.transaction('add-deploy', () => {
    catalog.run(
      `INSERT INTO deploys (state, who, request, plan, created_ms, changed_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5)`,
      state,
      who,
      JSON.stringify(request),
      JSON.stringify(plan),
      now,
    )
    return Number(catalog.get('SELECT last_insert_rowid() AS id')?.id)
  })
}

export function updateDeploy(catalog: Catalog, id: number, step: DeployStep): void {
  catalog.transaction('update-deploy', () => {
    const { state = null, outcome, reason } = step
    catalog.run(
      `UPDATE deploys SET state = coalesce(?, state), outcome = coalesce(?, outcome),
         reason = CASE WHEN ? THEN ? ELSE reason END, changed_ms = ? WHERE id = ?`,
      state,
      outcome === undefined ? null : JSON.stringify(outcome),
      reason === undefined ? 0 : 1,
      reason ?? null,
      catalog.clock.nowMs(),
      id,
    )
  })
}

export function readDeploy(catalog: Catalog, id: number): DeployRow | undefined {
  const row = catalog.get('SELECT * FROM deploys WHERE id = ?', id)
  return row === undefined ? undefined : toDeploy(row)
}

/** Oldest first. */
export function deployRows(catalog: Catalog): readonly DeployRow[] {
  return catalog.all('SELECT * FROM deploys ORDER BY id').map(toDeploy)
}

/** The newest deploy in one of these states. */
export function newestDeploy(catalog: Catalog, states: readonly string[]): DeployRow | undefined {
  const marks = states.map(() => '?').join(', ')
  const row = catalog.get(
    `SELECT * FROM deploys WHERE state IN (${marks}) ORDER BY id DESC LIMIT 1`,
    ...states,
  )
  return row === undefined ? undefined : toDeploy(row)
}

/** The newest deploy that answers and gave some view another version. */
export function newestMove(catalog: Catalog): DeployRow | undefined {
  const row = catalog.get(
    `SELECT * FROM deploys WHERE state = 'live' AND EXISTS (
       SELECT 1 FROM json_each(outcome, '$.views') AS v
       WHERE json_extract(v.value, '$.from') IS NOT json_extract(v.value, '$.to'))
     ORDER BY id DESC LIMIT 1`,
  )
  return row === undefined ? undefined : toDeploy(row)
}

function toDeploy(row: SqlRow): DeployRow {
  return {
    id: Number(row.id),
    state: String(row.state),
    who: String(row.who),
    request: JSON.parse(String(row.request)) as JsonValue,
    plan: JSON.parse(String(row.plan)) as JsonValue,
    outcome: JSON.parse(String(row.outcome)) as JsonValue,
    reason: row.reason === null ? null : String(row.reason),
    createdMs: Number(row.created_ms),
    changedMs: Number(row.changed_ms),
  }
}
