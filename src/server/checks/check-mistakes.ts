/**
 * What is wrong with the checks of a project, once its views are planned: SQL that does not pass the jail or does not
 * bind, keys and tolerances of columns that are not there. All mistakes at once. No state.
 */

import type { NewVersion } from '../../catalog/versions.ts'
import { plannedFunction } from '../../define/function-def.ts'
import type { CheckDef, ProjectDef } from '../../define/types.ts'
import { isNumeric } from '../../deploy/check-totals.ts'
import { isNested, type RuleOf } from '../../deploy/check-verdict.ts'
import { openSqlSyntax } from '../../engine/sql-syntax.ts'
import { systemColumns } from '../../lake/relation.ts'
import { type ErrorCode, type ErrorPlace, errorTable, RefoldError } from '../../model/errors.ts'
import { sqlType } from '../../model/schema.ts'
import { checkSql } from '../../plan/check-sql.ts'
import type { Column } from '../../plan/plan.ts'
import type { ExposedRelations } from '../../plan/read-only-sql.ts'
import type { SqlSyntax } from '../../plan/sql-syntax.ts'
import { nearestName } from '../../std/nearest-name.ts'

export async function checkMistakes(
  project: Pick<ProjectDef, 'checks' | 'streams' | 'functions'>,
  views: readonly Pick<NewVersion, 'view' | 'plan'>[],
): Promise<readonly RefoldError[]> {
  if (project.checks.length === 0) return []
  const relations: ExposedRelations = {
    views: Object.fromEntries(views.map(({ view, plan }) => [view, plan.columns])),
    streams: Object.fromEntries(
      project.streams.map(({ name, schema }) => {
        const fields = schema.fields.map((field) => ({ name: field.name, type: sqlType(field.type) }))
        return [name, [...fields, ...systemColumns]]
      }),
    ),
    system: {},
  }
  const opened = await openSqlSyntax()
  const syntax = opened.withFunctions((project.functions ?? []).map(plannedFunction))
  try {
    const mistakes: RefoldError[] = []
    for (const check of project.checks) mistakes.push(...(await mistakesOf(check, relations, syntax)))
    return mistakes
  } finally {
    opened.close()
  }
}

async function mistakesOf(
  check: CheckDef,
  relations: ExposedRelations,
  syntax: SqlSyntax,
): Promise<readonly RefoldError[]> {
  const { rule } = check
  if (rule.kind === 'changed' || rule.kind === 'rows') {
    if (relations.views[rule.view] !== undefined) return []
    return [
      new RefoldError('CHECK_INVALID', `${titleOf(check)}: there is no view "${rule.view}"`, {
        place: check.place,
      }),
    ]
  }
  const found = await checkSql({ sql: rule.sql, place: rule.sqlPlace, relations, syntax })
  if (!found.ok) return found.mistakes.map((mistake) => titled(check, mistake))
  return rule.kind === 'truth' ? columnMistakes(check, rule, found.columns) : []
}

function columnMistakes(
  check: CheckDef,
  rule: RuleOf<'truth'>,
  columns: readonly Column[],
): readonly RefoldError[] {
  const names = columns.map(({ name }) => name)
  const wrong = (message: string, hint: string): RefoldError =>
    new RefoldError('CHECK_INVALID', `${titleOf(check)}: ${message}`, { place: rule.sqlPlace, hint })
  const unknown = [...rule.key, ...Object.keys(rule.tolerance)]
    .filter((name) => !names.includes(name))
    .map((name) => {
      const nearest = nearestName(name, names)
      const hint = nearest === undefined ? `It gives ${names.join(', ')}.` : `Did you mean "${nearest}"?`
      return wrong(`its SQL gives no column "${name}"`, hint)
    })
  const nested = columns
    .filter(isNested)
    .map(({ name, type }) => wrong(`column "${name}" is ${type}, which no total is`, 'Select plain columns.'))
  const texts = columns
    .filter(({ name, type }) => rule.tolerance[name] !== undefined && !isNumeric(type))
    .map(({ name, type }) =>
      wrong(`column "${name}" is ${type}, which has no tolerance`, 'Give tolerances to numbers alone.'),
    )
  return [...unknown, ...nested, ...texts]
}

function titled(check: CheckDef, { code, message, hint, place }: RefoldError): RefoldError {
  const at: { place?: ErrorPlace } = place === undefined ? {} : { place }
  const own = hint === errorTable[code].hint ? checkHints[code] : undefined
  return new RefoldError(code, `${titleOf(check)}: ${message}`, { hint: own ?? hint, ...at })
}

/** What the table says to people who query is not all true of checks. */
const checkHints: Partial<Record<ErrorCode, string>> = {
  SQL_FORBIDDEN: 'Write a SELECT over views and streams.',
  SQL_NAME_UNKNOWN: 'Name a view or a stream of the project; refold.* tables tell of now, not of a cut.',
}

function titleOf({ name }: CheckDef): string {
  return `check "${name}"`
}
