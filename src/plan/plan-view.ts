/**
 * Plans a view: from the user's SQL to one frozen plan, or to all the mistakes that are in it. Works on DuckDB's own
 * syntax tree; what a text means is never guessed: names and types are asked of DuckDB over empty tables.
 *
 * The way: parse → refuse what no view can have → the chain of SELECTs → names, bottom up → the stage (the lowest
 * SELECT that groups, makes distinct or limits; without one the topmost) → fold below it, finish from it upwards.
 */

import { plainNames } from '../define/function-def.ts'
import type { ErrorPlace, RefoldError } from '../model/errors.ts'
import { type StreamDef, sqlType } from '../model/schema.ts'
import { AssertionError, must } from '../std/assert.ts'
import { checkExpressions } from './check-expressions.ts'
import { placeOfDuckDbError } from './duckdb-error-place.ts'
import { FunctionRules } from './function-rules.ts'
import { Mistakes } from './mistakes.ts'
import { argumentsHint, bindFunctions, functionsCalled, placeOfArguments } from './own-functions.ts'
import type { Column, ViewPlan } from './plan.ts'
import { planFromLinks } from './plan-stage.ts'
import { firstSentence, type PlannedLink, type PlanStream, type PlanTools, planLink } from './planned-link.ts'
import { fieldsRead } from './planned-stream.ts'
import { emptyPartQuery, finishQuery, mergedQuery, mergeQuery, partNames } from './queries.ts'
import type { Source } from './resolve-names.ts'
import { type Link, type SelectChain, selectChain } from './select-chain.ts'
import type { SqlNode, SqlSyntax } from './sql-syntax.ts'
import { functionName, textOf } from './syntax-tree.ts'

export interface PlanRequest {
  readonly name: string
  readonly sql: string
  /** Where the SQL's first character stands. */
  readonly place: ErrorPlace
  readonly streams: readonly StreamDef[]
  readonly syntax: SqlSyntax
  /** Names of all views of the project, so that reading one is told apart from a wrong name. */
  readonly views?: readonly string[]
}

export type PlanResult =
  /** `printedSql` is the SQL parsed and printed: the same for texts that differ in layout only. */
  | { readonly ok: true; readonly plan: ViewPlan; readonly printedSql: string }
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

export async function planView(request: PlanRequest): Promise<PlanResult> {
  const mistakes = new Mistakes(request.sql, request.place)
  const planned = await plan(request, mistakes).catch((error: unknown) => doubt(request, error, mistakes))
  if (mistakes.found || planned === undefined) return { ok: false, mistakes: mistakes.errors }
  return { ok: true, ...planned }
}

/** A form that the planner does not understand after all is refused, never folded in some way. */
function doubt(request: PlanRequest, error: unknown, mistakes: Mistakes): undefined {
  if (error instanceof AssertionError) throw error
  mistakes.add({
    code: 'VIEW_UNSUPPORTED',
    message: `the SQL of view "${request.name}" has a form that cannot be folded: ${firstSentence(error)}`,
  })
  return undefined
}

async function plan(
  request: PlanRequest,
  mistakes: Mistakes,
): Promise<{ plan: ViewPlan; printedSql: string } | undefined> {
  const { syntax } = request
  const statement = await parseOne(request, mistakes)
  if (statement === undefined) return undefined
  const rules = new FunctionRules(await syntax.functions())
  const tools: PlanTools = {
    syntax,
    rules,
    mistakes,
    isAggregate: (node) => isAggregate(node, rules),
  }
  checkExpressions(statement, rules, mistakes)
  const functions = functionsCalled(statement, syntax.own)
  const bound = bindFunctions(statement, functions)
  const chain = selectChain(bound, { streams: request.streams, views: request.views ?? [], mistakes })
  if (chain === undefined) return undefined
  const printedSql = await syntax.print(statement)
  const links = await planLinks(request, chain, tools)
  if (mistakes.found || links === undefined) return undefined
  checkOutputs(must(links.at(-1), 'a chain has a link'), mistakes)
  const staged = await planFromLinks(links, streamOf(chain.stream), tools)
  if (staged === undefined || mistakes.found) return undefined
  const made: ViewPlan = {
    format: 1,
    view: request.name,
    sql: request.sql,
    streams: [chain.stream.name],
    columns: links.at(-1)!.outputs,
    ...staged,
    reads: fieldsRead(staged, [chain.stream]),
    ...(functions.length === 0 ? {} : { functions }),
  }
  await checkFinish(made, syntax, mistakes)
  return { printedSql, plan: freeze(made) }
}

async function parseOne(request: PlanRequest, mistakes: Mistakes): Promise<SqlNode | undefined> {
  const parsed = await request.syntax.parse(request.sql)
  if (!parsed.ok) {
    const isSelectOnly = parsed.message.startsWith('Only SELECT')
    mistakes.add({
      code: isSelectOnly ? 'VIEW_NOT_SELECT' : 'VIEW_SYNTAX',
      message: isSelectOnly
        ? `the SQL of view "${request.name}" is not a SELECT`
        : `the SQL of view "${request.name}" cannot be parsed: ${parsed.message}`,
      ...(parsed.position === undefined ? {} : { at: parsed.position }),
    })
    return undefined
  }
  if (parsed.statements.length !== 1) {
    mistakes.add({
      code: 'VIEW_NOT_SELECT',
      message: `view "${request.name}" has ${parsed.statements.length} statements instead of one`,
      hint: 'Write one SELECT; make a view of each further one.',
      ...(parsed.statements[1] === undefined ? {} : { at: parsed.statements[1] }),
    })
    return undefined
  }
  return parsed.statements[0]
}

function isAggregate(node: SqlNode, rules: FunctionRules): boolean {
  const name = functionName(node)
  if (name === undefined || node.is_operator === true) return false
  return rules.verdict(name, 1, textOf(node.schema)).kind === 'aggregate'
}

function streamOf(stream: StreamDef): PlanStream {
  const columns = stream.schema.fields.map((field) => ({ name: field.name, type: sqlType(field.type) }))
  return { name: stream.name, fields: columns.map((column) => column.name), columns }
}

/** Plans every SELECT of the chain from the stream upwards. */
async function planLinks(
  request: PlanRequest,
  chain: SelectChain,
  tools: PlanTools,
): Promise<readonly PlannedLink[] | undefined> {
  const whole = await describeWhole(request)
  // What was refused already may make DuckDB speak of something else.
  const binds = whole.ok && !tools.mistakes.found
  const planned: PlannedLink[] = []
  let below: { readonly title: string; readonly columns: readonly Column[] } = {
    title: `stream "${chain.stream.name}"`,
    columns: streamOf(chain.stream).columns,
  }
  for (const [index, link] of chain.links.entries()) {
    const isTop = index === chain.links.length - 1
    const named = sourceOf(link, below)
    const source = index === 0 ? { ...named, former: formerNames(chain.stream) } : named
    const one = await planLink(link, source, isTop, tools, binds)
    if (one === undefined) break
    planned.push(isTop && whole.ok ? { ...one, outputs: whole.columns } : one)
    const next = chain.links[index + 1]
    below = { title: `subquery "${next?.sourceName || 'in FROM'}"`, columns: one.outputs }
  }
  if (!whole.ok && !tools.mistakes.found) {
    const { own } = request.syntax
    const sentence = firstSentence(whole.error)
    const hint = argumentsHint(sentence, own)
    const position =
      placeOfDuckDbError(whole.error, request.sql) ?? placeOfArguments(sentence, request.sql, own)
    tools.mistakes.add({
      code: 'VIEW_INVALID',
      message: `the SQL of view "${request.name}" does not bind: ${plainNames(sentence, own)}`,
      ...(hint === undefined ? {} : { hint }),
      ...(position === undefined ? {} : { at: position }),
    })
  }
  return planned.length === chain.links.length ? planned : undefined
}

type Described =
  | { readonly ok: true; readonly columns: readonly Column[] }
  | { readonly ok: false; readonly error: unknown }

/** The columns of the whole statement, as the user wrote it, over empty tables in place of the streams. */
async function describeWhole(request: PlanRequest): Promise<Described> {
  try {
    const relations = Object.fromEntries(
      request.streams.map((stream) => [stream.name, streamOf(stream).columns]),
    )
    return { ok: true, columns: await request.syntax.describe(request.sql, relations) }
  } catch (error) {
    return { ok: false, error }
  }
}

function formerNames({ schema }: StreamDef): ReadonlyMap<string, string> {
  return new Map(
    schema.fields.flatMap(({ name, aliases = [] }) => aliases.map((alias) => [alias.toLowerCase(), name])),
  )
}

/** Our own doubt: the finish must give what the original gives, by name and type. */
async function checkFinish(plan: ViewPlan, syntax: SqlSyntax, mistakes: Mistakes): Promise<void> {
  const stage = must(plan.stages[0], 'a plan has a stage')
  const parts = partNames(stage).map(
    (part) => [part, mergeQuery(stage, part, emptyPartQuery(stage, part))] as const,
  )
  const columns = await syntax.describe(finishQuery(plan, mergedQuery(stage, Object.fromEntries(parts))), {})
  if (JSON.stringify(columns) === JSON.stringify(plan.columns)) return
  mistakes.add({
    code: 'VIEW_UNSUPPORTED',
    message: `the columns of view "${plan.view}" cannot be named or typed as in its SQL`,
    hint: 'Give every expression its own name with AS, in subqueries too.',
  })
}

function sourceOf(
  link: Link,
  below: { readonly title: string; readonly columns: readonly Column[] },
): Source {
  return {
    name: link.sourceName,
    title: below.title,
    columns: below.columns.map(({ name, type }, index) => ({
      name: link.sourceRenames[index] ?? name,
      actual: name,
      type,
    })),
  }
}

function checkOutputs(top: PlannedLink, mistakes: Mistakes): void {
  const seen = new Set<string>()
  top.outputs.forEach(({ name }, index) => {
    const lower = name.toLowerCase()
    if (seen.has(lower)) {
      mistakes.add({
        code: 'VIEW_COLUMN_DUPLICATE',
        message: `two columns are named "${name}"`,
        at: top.resolved.items[index] ?? top.link.select,
      })
    }
    seen.add(lower)
  })
}

/** Plans are data that nobody changes. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) freeze(child)
    Object.freeze(value)
  }
  return value
}
