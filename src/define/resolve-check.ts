/**
 * Turns a declared check into plain data, with every mistake at its place. What is said of its SQL is checked where
 * SQL is parsed. Pure.
 */

import path from 'node:path'
import type { ErrorCode } from '../model/errors.ts'
import { nearestName } from '../std/nearest-name.ts'
import type { CallSite } from './places.ts'
import type { Refuse } from './refuse.ts'
import { parseDuration } from './settings.ts'
import type { CheckSpec } from './spec.ts'
import type { CheckDef, CheckRule, ToleranceDef, TruthDef, ViewDef } from './types.ts'

const TIMEOUT_MS = 30_000
const TIMEOUT_MS_MAX = 3_600_000
const EVERY_MS_MIN = 1_000

/** What a check is declared in. */
export interface CheckSurroundings {
  readonly root: string
  readonly file: string
  readonly views: readonly Pick<ViewDef, 'name'>[]
}

/** What the user wrote, of whatever type it is, and how a mistake in it is told. */
interface Declared {
  readonly options: Readonly<Record<string, unknown>>
  readonly call: CallSite
  readonly around: CheckSurroundings
  /** Reports a mistake in the value at a path of options. */
  wrong(option: readonly string[], message: string, hint: string, code?: ErrorCode): undefined
}

const optionNames = [
  ...['sql', 'truth', 'key', 'tolerance', 'view', 'changed', 'rows'],
  ...['every', 'cutover', 'timeout'],
]

export function resolveCheck(
  spec: CheckSpec,
  call: CallSite,
  around: CheckSurroundings,
  refuse: Refuse,
): CheckDef | undefined {
  const name: unknown = spec.name
  if (typeof name !== 'string' || !/^[A-Za-z][A-Za-z0-9_]{0,62}$/.test(name)) {
    const hint = 'Use up to 63 letters, digits and "_", beginning with a letter.'
    refuse('PROJECT_NAME', `check ${JSON.stringify(name)} has a name that is not allowed`, call.name, hint)
  }
  const what = `check "${String(name)}"`
  const options = spec.options as unknown
  if (!isObject(options)) {
    const hint = "Write check('NAME', { sql: 'SELECT …' })."
    refuse('CHECK_INVALID', `${what} has no options`, call.place, hint)
    return undefined
  }
  let found = false
  const wrong: Declared['wrong'] = (option, message, hint, code = 'CHECK_INVALID') => {
    found = true
    refuse(code, `${what}: ${message}`, call.option(option), hint)
  }
  const declared: Declared = { options, call, around, wrong }
  for (const option of Object.keys(options)) {
    if (optionNames.includes(option)) continue
    wrong([option], `there is no option "${option}"`, nearestHint(option, optionNames))
  }
  const rule = resolveRule(declared)
  const runs = resolveRuns(declared, rule)
  if (rule === undefined || found) return undefined
  return { name: spec.name, place: call.place, rule, ...runs }
}

/** Names of checks are told apart as those of views are: without case. */
export function checkNames(checks: readonly CheckDef[], refuse: Refuse): void {
  const seen = new Map<string, CheckDef>()
  for (const check of checks) {
    const other = seen.get(check.name.toLowerCase())
    if (other === undefined) seen.set(check.name.toLowerCase(), check)
    else {
      const where = `${other.place.file}:${other.place.line}`
      const hint = `The other one is at ${where}; rename one of the two.`
      refuse(
        'PROJECT_NAME',
        `check "${check.name}": there already is a check of this name`,
        check.place,
        hint,
      )
    }
  }
}

function resolveRule(declared: Declared): CheckRule | undefined {
  const { options, wrong } = declared
  const { sql, view } = options
  if (sql === undefined && view === undefined) {
    const hint = "Give it `sql: 'SELECT …'`, or `view: 'NAME'` with `changed` or `rows`."
    return wrong([], 'it says nothing that could be checked', hint)
  }
  if (sql !== undefined && view !== undefined) {
    return wrong(['view'], 'it is over `sql` and over a `view`', 'Declare two checks.')
  }
  return sql === undefined ? viewRule(declared) : sqlRule(declared)
}

function sqlRule({ options, call, around, wrong }: Declared): CheckRule | undefined {
  const { sql, truth } = options
  for (const option of ['changed', 'rows']) {
    if (options[option] === undefined) continue
    wrong([option], `\`${option}\` goes with \`view\`, not with \`sql\``, "Give it `view: 'NAME'` instead.")
  }
  if (typeof sql !== 'string' || sql.trim() === '') {
    return wrong(['sql'], 'the SQL is empty or no text', 'Give it a SELECT over views and streams.')
  }
  const sqlPlace = call.text('sql')
  if (truth === undefined) {
    for (const option of ['key', 'tolerance']) {
      if (options[option] === undefined) continue
      wrong([option], `\`${option}\` goes with \`truth\``, 'Add `truth`, or leave it out.')
    }
    return { kind: 'nothing', sql, sqlPlace }
  }
  const declared = { options, call, around, wrong }
  const source = resolveTruth(declared)
  const key = resolveKey(declared)
  const tolerance = resolveTolerance(declared, key)
  return source === undefined ? undefined : { kind: 'truth', sql, sqlPlace, truth: source, key, tolerance }
}

function resolveTruth({ options, around, wrong }: Declared): TruthDef | undefined {
  const { truth } = options
  if (typeof truth === 'function') return { kind: 'function', file: around.file }
  const file = isObject(truth) ? truth['file'] : undefined
  if (typeof file !== 'string' || file === '') {
    const hint = "Write `{ file: 'truth/totals.csv' }`, or a function that gives rows."
    return wrong(['truth'], '`truth` is neither a file nor a function', hint)
  }
  for (const other of Object.keys(truth as object)) {
    if (other !== 'file')
      wrong(['truth', other], `\`truth\` has no option "${other}"`, nearestHint(other, ['file']))
  }
  const place = ['truth', 'file']
  if (/[*?[\]\0]/.test(file)) {
    return wrong(place, `"${file}" is no name of one file`, 'Name one file, without * ? [ and ].')
  }
  const extension = /\.(csv|json|ndjson|jsonl|parquet)(\.gz)?$/i.exec(file)?.[1]?.toLowerCase()
  if (extension === undefined) {
    const hint = 'Let its name end in .csv, .json, .ndjson or .parquet.'
    return wrong(place, `the kind of "${file}" is not known`, hint)
  }
  const resolved = path.resolve(around.root, file)
  // A project also comes over the wire: it must not name any file that the server could read.
  const inside = path.relative(around.root, resolved)
  if (inside.split(path.sep)[0] === '..' || path.isAbsolute(inside)) {
    const hint = 'Put it into the folder, or a link to it.'
    return wrong(place, `"${file}" lies outside the folder of the project`, hint)
  }
  const format = extension === 'csv' || extension === 'parquet' ? extension : 'json'
  return { kind: 'file', path: resolved, format }
}

function resolveKey({ options, wrong }: Declared): readonly string[] {
  const { key = [] } = options
  if (!Array.isArray(key) || key.some((name) => typeof name !== 'string' || name === '')) {
    wrong(['key'], '`key` is no list of columns', "Write `key: ['day']`.")
    return []
  }
  const twice = key.find((name, index) => key.indexOf(name) !== index)
  if (twice !== undefined) wrong(['key'], `column "${twice}" is in \`key\` twice`, 'Name it once.')
  return key as string[]
}

function resolveTolerance(
  { options, wrong }: Declared,
  key: readonly string[],
): Readonly<Record<string, ToleranceDef>> {
  const { tolerance = {} } = options
  if (!isObject(tolerance)) {
    wrong(
      ['tolerance'],
      '`tolerance` names no columns',
      "Write `tolerance: { COLUMN: { absolute: '0.01' } }`.",
    )
    return {}
  }
  const entries = Object.entries(tolerance).flatMap(([column, given]) => {
    const at = ['tolerance', column]
    if (key.includes(column)) {
      wrong(
        at,
        `column "${column}" is in \`key\`, which tells rows apart`,
        'Give a tolerance to other columns.',
      )
      return []
    }
    if (!isObject(given) || Object.keys(given).length === 0) {
      wrong(
        at,
        `the tolerance of "${column}" has no bound`,
        "Write `{ absolute: '0.01' }` or `{ relative: 0.001 }`.",
      )
      return []
    }
    const bounds = { absolute: '0', relative: '0' }
    for (const [name, value] of Object.entries(given)) {
      if (name !== 'absolute' && name !== 'relative') {
        wrong([...at, name], `a tolerance has no "${name}"`, nearestHint(name, ['absolute', 'relative']))
        continue
      }
      const text = decimalText(value)
      if (text !== undefined) bounds[name] = text
      else wrong([...at, name], `${shown(value)} is no number from 0 on`, "Write it as '0.01' or 0.01.")
    }
    return [[column, bounds] as const]
  })
  return Object.fromEntries(entries)
}

function viewRule(declared: Declared): CheckRule | undefined {
  const { options, around, wrong } = declared
  const { view, changed, rows } = options
  for (const option of ['truth', 'key', 'tolerance']) {
    if (options[option] === undefined) continue
    wrong([option], `\`${option}\` goes with \`sql\`, not with \`view\``, 'Give it `sql` instead of `view`.')
  }
  if (typeof view !== 'string') return wrong(['view'], '`view` is no name', "Write `view: 'NAME'`.")
  const names = around.views.map(({ name }) => name)
  const known = names.find((name) => name.toLowerCase() === view.toLowerCase())
  if (known === undefined) {
    return wrong(['view'], `the project has no view "${view}"`, nearestHint(view, names))
  }
  if (changed !== undefined && rows !== undefined) {
    return wrong(['rows'], 'it is about `changed` and about `rows`', 'Declare two checks.')
  }
  if (changed !== undefined) return changedRule(declared, known)
  if (rows !== undefined) return rowsRule(declared, known)
  return wrong(
    ['view'],
    `it says nothing of view "${view}"`,
    'Add `changed: { rows: 100 }` or `rows: { min: 1 }`.',
  )
}

function changedRule({ options, wrong }: Declared, view: string): CheckRule | undefined {
  const { changed } = options
  const given = isObject(changed) ? changed : {}
  const hint = 'Write `{ rows: 100 }`, or `{ share: 0.01 }` for one per cent.'
  const names = Object.keys(given)
  if (names.length !== 1) return wrong(['changed'], '`changed` is not one limit', hint)
  const { rows, share } = given
  if (isCount(rows)) return { kind: 'changed', view, limit: { rows } }
  if (typeof share === 'number' && share >= 0 && share <= 1)
    return { kind: 'changed', view, limit: { share } }
  const message = 'the limit is neither a whole number of rows nor a share from 0 to 1'
  return wrong(['changed', names[0]!], message, hint)
}

function rowsRule({ options, wrong }: Declared, view: string): CheckRule | undefined {
  const { rows } = options
  const given = isObject(rows) ? rows : {}
  const hint = 'Write `{ min: 1 }`, `{ max: 1000 }` or both.'
  for (const name of Object.keys(given)) {
    if (name !== 'min' && name !== 'max') return wrong(['rows', name], `\`rows\` has no "${name}"`, hint)
    if (!isCount(given[name])) return wrong(['rows', name], `${shown(given[name])} is no whole number`, hint)
  }
  const { min, max } = given as { readonly min?: number; readonly max?: number }
  if (min === undefined && max === undefined) return wrong(['rows'], '`rows` has no bound', hint)
  if (min !== undefined && max !== undefined && min > max) {
    return wrong(['rows'], `\`min\` ${min} is above \`max\` ${max}`, 'Swap the two.')
  }
  return { kind: 'rows', view, ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }
}

function resolveRuns(
  { options, wrong }: Declared,
  rule: CheckRule | undefined,
): Pick<CheckDef, 'everyMs' | 'cutover' | 'timeoutMs'> {
  const { every, cutover = true, timeout } = options
  const everyMs = every === undefined ? undefined : parseDuration(every)
  if (every !== undefined && (everyMs === undefined || everyMs < EVERY_MS_MIN)) {
    wrong(['every'], `${shown(every)} is no duration of a second or more`, "Write it such as '15m'.")
  }
  const timeoutMs = timeout === undefined ? TIMEOUT_MS : parseDuration(timeout)
  if (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > TIMEOUT_MS_MAX) {
    wrong(['timeout'], `${shown(timeout)} is no duration from 1 ms to 1 h`, "Write it such as '30s'.")
  }
  if (typeof cutover !== 'boolean') {
    wrong(['cutover'], '`cutover` is neither true nor false', 'Leave it out for true.')
  } else if (rule?.kind === 'changed' && (every !== undefined || !cutover)) {
    const hint = 'Leave out `every` and `cutover`.'
    wrong([every === undefined ? 'cutover' : 'every'], 'rows change at a cutover, and only there', hint)
  } else if (!cutover && every === undefined) {
    wrong(['cutover'], 'it would never run', "Add `every: '15m'`, or leave out `cutover`.")
  }
  return {
    cutover: cutover !== false,
    timeoutMs: timeoutMs ?? TIMEOUT_MS,
    ...(everyMs === undefined ? {} : { everyMs }),
  }
}

/** A number from 0 on as plain decimal text; floats by their shortest text. */
function decimalText(value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value
  const match =
    typeof text === 'string' ? /^(\d{1,40})(?:\.(\d{1,40}))?(?:e([+-]?\d{1,2}))?$/i.exec(text) : null
  if (match === null) return undefined
  const [, whole = '', fraction = '', exponent = '0'] = match
  const point = whole.length + Number(exponent)
  const digits = (whole + fraction).padStart(whole.length + fraction.length + Math.max(0, -point), '0')
  const split = Math.max(0, point)
  const before = digits
    .slice(0, split)
    .padEnd(split, '0')
    .replace(/^0+(?=\d)/, '')
  const after = digits.slice(split)
  const plain = after === '' ? before : `${before || '0'}.${after}`
  return /^\d{1,40}(\.\d{1,40})?$/.test(plain) ? plain : undefined
}

function nearestHint(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known)
  return nearest === undefined ? `Known: ${known.join(', ')}.` : `Did you mean "${nearest}"?`
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? String(value)
}
