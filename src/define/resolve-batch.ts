/**
 * Turns the second definition of a view, its `batch` SQL with key, merge rules and approximate columns, into plain
 * data. What the texts mean is the planner's; here stands what can be said of their shape. No state.
 */

import { isAbsolute, join, relative, sep } from 'node:path'
import { nearestName } from '../std/nearest-name.ts'
import type { CallSite } from './places.ts'
import type { Refuse } from './refuse.ts'
import type { ViewSpec } from './spec.ts'
import type { BatchDef, MergeDef, RunDef, SourcePlace } from './types.ts'

/** A view's SQL text with the place of its first character. */
export interface SqlText {
  readonly sql: string
  readonly place: SourcePlace
}

/** Both texts of a view that has two definitions; a text may stand in `views/NAME.batch.sql` and `.speed.sql`. */
export interface LayerTexts {
  readonly batch: SqlText
  readonly speed: SqlText
}

export interface BatchSource {
  readonly root: string
  /** Hash of a file's bytes, by its absolute path; undefined where there is no such file. */
  readonly fileHash?: (path: string) => string | undefined
}

const mergeKinds = ['add', 'replace', 'min', 'max'] as const

/** Whether the options say that the view has two definitions. */
export function hasLayers({ batch, speed, key, merge, approximate }: ViewSpec): boolean {
  return [batch, speed, key, merge, approximate].some((option) => option !== undefined)
}

/** The texts of both definitions, from the options or from the files of the view; undefined when one is missing. */
export function layerTexts(
  spec: ViewSpec,
  files: Partial<LayerTexts>,
  call: CallSite,
  refuse: Refuse,
): LayerTexts | undefined {
  const what = `view "${String(spec.name)}"`
  const one = (layer: 'batch' | 'speed'): SqlText | undefined => {
    const given = spec[layer]
    const file = files[layer]
    if (given !== undefined && file !== undefined) {
      const hint = `Keep one of the option and views/${spec.name}.${layer}.sql.`
      refuse('PROJECT_SETTING', `${what} has its ${layer} SQL twice`, call.option([layer]), hint)
    }
    const text = given === undefined ? file : { sql: given, place: call.text(layer) }
    if (text !== undefined && typeof text.sql === 'string' && text.sql.trim() !== '') return text
    const other = layer === 'batch' ? 'speed' : 'batch'
    refuse(
      'PROJECT_INVALID',
      `${what} has two definitions and no ${layer} SQL`,
      text?.place ?? call.option([layer]),
      `Give it \`${layer}\` or views/${spec.name}.${layer}.sql beside \`${other}\`, or only \`sql\`.`,
    )
    return undefined
  }
  const [batch, speed] = [one('batch'), one('speed')]
  if (spec.sql !== undefined) {
    const hint = 'Use `sql` for one definition, `batch` and `speed` for two.'
    refuse('PROJECT_SETTING', `${what} has both \`sql\` and two definitions`, call.option(['sql']), hint)
  }
  return batch === undefined || speed === undefined ? undefined : { batch, speed }
}

/** Everything that the definition says beside its speed SQL. */
export function resolveBatch(
  spec: ViewSpec,
  text: SqlText,
  run: RunDef,
  call: CallSite,
  source: BatchSource,
  refuse: Refuse,
): BatchDef {
  const what = `view "${spec.name}"`
  if (run.kind !== 'lambda') {
    const message = `${what} has two definitions, and ${run.kind} has no batch layer for the first`
    const hint = 'Run it as lambda({ … }), or give it one definition as `sql`.'
    refuse('PROJECT_SETTING', message, call.option(['run']), hint)
  }
  if (run.kind === 'lambda' && run.incremental) {
    const message = `${what} has two definitions, and an incremental batch folds ranges, which its batch SQL may not`
    refuse('PROJECT_SETTING', message, call.option(['run']), 'Leave `incremental` out.')
  }
  const key = namesOf(spec.key, `${what}: \`key\``, call.option(['key']), refuse)
  if (key.length === 0) {
    const hint = "Name the columns by which the speed SQL groups, e.g. `key: ['user_id']`."
    refuse('PROJECT_SETTING', `${what}: two definitions need a \`key\``, call.option(['key']), hint)
  }
  const merge = mergeOf(spec, what, key, call, refuse)
  const approximate = namesOf(
    spec.approximate ?? [],
    `${what}: \`approximate\``,
    call.option(['approximate']),
    refuse,
  )
  return {
    sql: text.sql,
    sqlPlace: text.place,
    key,
    keyPlace: call.option(['key']),
    merge,
    mergePlace: call.option(['merge']),
    approximate,
    approximatePlace: call.option(['approximate']),
    files: filesIn(text.sql, source),
  }
}

function namesOf(given: unknown, what: string, place: SourcePlace, refuse: Refuse): readonly string[] {
  const list = given === undefined ? [] : given
  if (!Array.isArray(list) || list.some((name) => typeof name !== 'string' || name === '')) {
    refuse('PROJECT_SETTING', `${what} is not a list of columns`, place, "Write e.g. ['user_id'].")
    return []
  }
  const names = list as readonly string[]
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) refuse('PROJECT_SETTING', `${what} has the column "${twice}" twice`, place)
  return names
}

function mergeOf(
  { merge }: ViewSpec,
  what: string,
  key: readonly string[],
  call: CallSite,
  refuse: Refuse,
): Readonly<Record<string, MergeDef>> {
  if (merge !== undefined && (typeof merge !== 'object' || merge === null || Array.isArray(merge))) {
    const hint = "Write e.g. { total: 'add', last_seen: 'max' }."
    refuse(
      'PROJECT_SETTING',
      `${what}: \`merge\` is not a rule for each column`,
      call.option(['merge']),
      hint,
    )
    return {}
  }
  const rules: Record<string, MergeDef> = {}
  for (const [column, rule] of Object.entries(merge ?? {})) {
    const place = call.option(['merge', column])
    if (key.includes(column)) {
      refuse('PROJECT_SETTING', `${what}: "${column}" is a part of the key and has a merge rule`, place)
    }
    const made = ruleOf(rule, place, call, column)
    if (made !== undefined) {
      rules[column] = made
      continue
    }
    const near = typeof rule === 'string' ? nearestName(rule, mergeKinds) : undefined
    refuse(
      'PROJECT_SETTING',
      `${what}: the merge rule ${JSON.stringify(rule) ?? 'undefined'} of "${column}" is not known`,
      place,
      near === undefined
        ? "Use 'add', 'replace', 'min', 'max' or { sql: 'an expression over batch.COLUMN and speed.COLUMN' }."
        : `Did you mean "${near}"?`,
    )
  }
  return rules
}

function ruleOf(rule: unknown, place: SourcePlace, call: CallSite, column: string): MergeDef | undefined {
  const kind = mergeKinds.find((known) => known === rule)
  if (kind !== undefined) return { kind }
  const { sql, ...others } = { sql: undefined, ...(rule as object | null) }
  if (typeof sql !== 'string' || sql === '' || Object.keys(others).length > 0) return undefined
  const at = call.option(['merge', column, 'sql'])
  // The place of an option is that of its value: the text begins after the quote.
  const isFound = at.line !== place.line || at.column !== place.column
  return { kind: 'sql', sql, place: isFound ? { ...at, column: at.column + 1 } : at }
}

/** Texts of the SQL that name a file below the project's folder, with the hash of what is in it. */
function filesIn(sql: string, { root, fileHash }: BatchSource): Readonly<Record<string, string>> {
  const found = new Map<string, string>()
  for (const [, name = ''] of sql.matchAll(
    /['"]((?:[^'"\n])+\.(?:csv|tsv|parquet|json|ndjson|jsonl)(?:\.gz)?)['"]/gi,
  )) {
    const path = referencePath(root, name)
    const hash = path === undefined ? undefined : fileHash?.(join(root, path))
    if (path !== undefined && hash !== undefined) found.set(path, hash)
  }
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** A file that a SQL text names, relative to the project's folder and with `/`; undefined when it lies outside. */
export function referencePath(root: string, name: string): string | undefined {
  const path = relative(root, isAbsolute(name) ? name : join(root, name))
  if (path === '' || path === '..' || path.startsWith(`..${sep}`) || isAbsolute(path)) return undefined
  return path.split(sep).join('/')
}
