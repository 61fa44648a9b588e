/**
 * Lowers a Zod 4 schema to the value model: plain data that says the same. What JSON Schema cannot say (code of any
 * kind, types that JSON lacks) is reported with its path and an alternative, and lowering goes on, so that all such
 * places are found at once. No state.
 *
 * It reads `schema._zod.def` and asks no class for its name, so schemas of a project's own copy of Zod work too.
 */

import type { Field, FieldType, JsonValue, ObjectType } from '../model/schema.ts'
import { compileWriter } from '../model/value-writer.ts'
import { exactKind } from './exact.ts'
import { lowerNumber } from './lower-number.ts'
import { lowerEnum, lowerLiterals, lowerText } from './lower-text.ts'
import { checksOf, type Def, defOf, isCode, type Report } from './zod-def.ts'

/** Lowers a stream's schema; undefined when it is no object at all. */
export function lowerSchema(schema: unknown, report: Report): ObjectType | undefined {
  const def = defOf(schema)
  if (def === undefined) {
    report([], 'the schema is not a Zod 4 schema', "Use z.object({ … }) with z from 'zod' 4.")
    return undefined
  }
  const type = lowerType(def, [], report)
  if (type?.kind === 'object') return type
  if (type !== undefined) report([], `the schema is ${nameOf(def)}, not an object`, 'Use z.object({ … }).')
  return undefined
}

/** A type with what its wrappers say about it. */
interface Lowered {
  readonly type: FieldType
  readonly optional: boolean
  readonly nullable: boolean
  readonly defaultValue?: JsonValue
}

function lowerObject(def: Def, path: readonly string[], report: Report): FieldType | undefined {
  const catchall = defOf(def['catchall'])
  if (catchall !== undefined) {
    const what = catchall.type === 'never' ? 'is strict' : 'has a catchall'
    report(path, `the object ${what}`, 'Use z.object({ … }): keys that it does not name are dropped.')
  }
  refuseCode(def, path, report)
  const fields: Field[] = []
  const seen = new Map<string, string>()
  for (const [name, schema] of Object.entries(def['shape'] as Record<string, unknown>)) {
    const here = [...path, name]
    checkFieldName(name, here, seen, report)
    const lowered = lowerWrapped(schema, here, report)
    if (lowered === undefined) continue
    const { type, optional, nullable, defaultValue } = lowered
    fields.push({ name, type, optional, nullable, ...(defaultValue === undefined ? {} : { defaultValue }) })
  }
  if (seen.size === 0) {
    report(path, 'the object has no fields', 'Name its fields, or use z.json() for any JSON value.')
  }
  return { kind: 'object', fields }
}

function checkFieldName(
  name: string,
  path: readonly string[],
  seen: Map<string, string>,
  report: Report,
): void {
  if (name === '' || !name.isWellFormed() || /\p{Cc}/u.test(name)) {
    report(
      path,
      'the name of the field is empty or holds control characters',
      'Use a name of visible characters.',
    )
  } else if (name.startsWith('_')) {
    report(
      path,
      'names that begin with "_" are kept for columns of the system',
      `Call the field "${name.replace(/^_+/, '') || 'value'}".`,
    )
  }
  const folded = name.toLowerCase()
  const other = seen.get(folded)
  if (other !== undefined) {
    report(
      path,
      `SQL, which knows no upper and lower case, takes the name for "${other}"`,
      'Rename one of the two.',
    )
  }
  seen.set(folded, name)
}

/** Takes off optional, nullable, default and readonly, from the outside in. */
function lowerWrapped(schema: unknown, path: readonly string[], report: Report): Lowered | undefined {
  let optional = false
  let nullable = false
  let defaulted: Def | undefined
  let def = defOf(schema)
  for (;;) {
    if (def === undefined) {
      report(path, 'the field is not a Zod 4 schema', "Use types of z from 'zod' 4.")
      return undefined
    }
    if (def.type === 'optional') optional = true
    else if (def.type === 'nullable') nullable = true
    else if (def.type === 'default') defaulted ??= def
    else if (def.type !== 'readonly') break
    def = defOf(def['innerType'])
  }
  const inner = withoutNull(def)
  if (inner !== def) nullable = true
  const type = lowerType(inner, path, report)
  if (type === undefined) return undefined
  if (type.kind === 'json') nullable = true
  if (defaulted === undefined) return { type, optional, nullable }
  if (nullable && type.kind !== 'json') {
    const hint = 'Leave out .default(…) or .nullable().'
    report(path, 'the field has a default and may be null: missing and null would become one', hint)
    return undefined
  }
  const defaultValue = lowerDefault(defaulted, type, path, report)
  return defaultValue === undefined ? undefined : { type, optional: false, nullable: false, defaultValue }
}

/** z.union([X, z.null()]) says the same as X.nullable(). */
function withoutNull(def: Def): Def {
  if (def.type !== 'union') return def
  const options = (def['options'] as unknown[]).map(defOf)
  const rest = options.filter((option) => option?.type !== 'null')
  if (rest.length === options.length || rest.length === 0) return def
  return rest.length === 1 && rest[0] !== undefined
    ? rest[0]
    : { ...def, options: (def['options'] as unknown[]).filter((option) => defOf(option)?.type !== 'null') }
}

function lowerDefault(
  def: Def,
  type: FieldType,
  path: readonly string[],
  report: Report,
): JsonValue | undefined {
  const first: unknown = def['defaultValue']
  const started = Date.now()
  while (Date.now() - started < 2) {
    // a default that asks the clock gives another value now
  }
  if (JSON.stringify(first) !== JSON.stringify(def['defaultValue'])) {
    report(path, 'the default is another value each time', 'Use a constant; event time comes with the event.')
    return undefined
  }
  const writer = compileWriter(type)
  const text = writer.write(first)
  if (text === undefined) {
    const { clause, place } = writer.fault()
    const where = place === '' ? 'the default' : `"${place.slice(1)}" in the default`
    report(path, `${where} ${clause}`, 'Use a default that the type itself allows.')
    return undefined
  }
  return type.kind === 'integer' && !Number.isSafeInteger(Number(text))
    ? text
    : (JSON.parse(text) as JsonValue)
}

/** The type itself, without wrappers. Reports and gives undefined where there is none. */
function lowerType(def: Def, path: readonly string[], report: Report): FieldType | undefined {
  const exact = exactKind(def)
  if (exact?.kind === 'int64') return { kind: 'integer', bits: 64, text: true }
  if (exact?.kind === 'decimal') return lowerDecimal(exact.precision, exact.scale, path, report)
  if (def['coerce'] === true) return refuseType(def, path, report)
  switch (def.type) {
    case 'string':
    case 'template_literal':
      return lowerText(def, path, report)
    case 'number':
      return lowerNumber(def, path, report)
    case 'boolean':
      refuseCode(def, path, report)
      return { kind: 'boolean' }
    case 'enum':
      return lowerEnum(def, path, report)
    case 'literal':
      return lowerLiterals(def['values'] as unknown[], path, report)
    case 'object':
      return lowerObject(def, path, report)
    case 'array':
      return lowerArray(def, path, report)
    case 'record':
      return lowerRecord(def, path, report)
    case 'any':
    case 'unknown':
      refuseCode(def, path, report)
      return { kind: 'json' }
    case 'union':
      return lowerUnion(def, path, report)
    case 'lazy':
      return isAnyJson(def) ? { kind: 'json' } : refuseType(def, path, report)
    default:
      return refuseType(def, path, report)
  }
}

function lowerDecimal(precision: number, scale: number, path: readonly string[], report: Report): FieldType {
  const valid = Number.isInteger(precision) && Number.isInteger(scale) && precision >= 1 && precision <= 38
  if (!valid || scale < 0 || scale > precision) {
    report(
      path,
      `decimal(${precision}, ${scale}) does not exist`,
      'Precision is 1 to 38, scale 0 to the precision.',
    )
    return { kind: 'decimal', precision: 38, scale: 0 }
  }
  return { kind: 'decimal', precision, scale }
}

function lowerArray(def: Def, path: readonly string[], report: Report): FieldType | undefined {
  let minItems = 0
  let maxItems = Number.POSITIVE_INFINITY
  for (const check of checksOf(def)) {
    if (check.check === 'min_length') minItems = Math.max(minItems, Number(check['minimum']))
    else if (check.check === 'max_length') maxItems = Math.min(maxItems, Number(check['maximum']))
    else if (check.check === 'length_equals') minItems = maxItems = Number(check['length'])
    else if (isCode(check)) reportCode(path, report)
  }
  const element = lowerWrapped(def['element'], [...path, '[]'], report)
  if (element === undefined) return undefined
  if (element.optional || element.defaultValue !== undefined) {
    report(
      [...path, '[]'],
      'an element of an array cannot be missing',
      'Use .nullable() for elements without a value.',
    )
  }
  return {
    kind: 'array',
    element: element.type,
    elementNullable: element.nullable,
    ...(minItems > 0 ? { minItems } : {}),
    ...(maxItems < Number.POSITIVE_INFINITY ? { maxItems } : {}),
  }
}

function lowerRecord(def: Def, path: readonly string[], report: Report): FieldType | undefined {
  refuseCode(def, path, report)
  const key = defOf(def['keyType'])
  if (key?.type !== 'string' || key['format'] !== undefined || checksOf(key).length > 0) {
    report(
      path,
      'the keys of the record are not plain strings',
      'Use z.record(z.string(), …), or z.object for known keys.',
    )
  }
  const value = lowerWrapped(def['valueType'], [...path, '{}'], report)
  if (value === undefined) return undefined
  if (value.optional || value.defaultValue !== undefined) {
    report(
      [...path, '{}'],
      'a value of a record cannot be missing',
      'Use .nullable() for keys without a value.',
    )
  }
  return { kind: 'map', value: value.type, valueNullable: value.nullable }
}

function lowerUnion(def: Def, path: readonly string[], report: Report): FieldType | undefined {
  refuseCode(def, path, report)
  const values: unknown[] = []
  for (const option of def['options'] as unknown[]) {
    const inner = defOf(option)
    if (inner?.type === 'literal') values.push(...(inner['values'] as unknown[]))
    else if (inner?.type === 'enum') values.push(...Object.values(inner['entries'] as object))
    else {
      const hint = 'Use one type, one object with optional fields, or z.json() for any JSON value.'
      report(path, 'a union of different types has no one SQL type', hint)
      return undefined
    }
  }
  return lowerLiterals(values, path, report)
}

/** What z.json() makes: a union of all that JSON has, arrays and records of itself among them. */
function isAnyJson(lazy: Def): boolean {
  const getter = lazy['getter']
  if (typeof getter !== 'function') return false
  const union = defOf(getter())
  if (union?.type !== 'union') return false
  const options = (union['options'] as unknown[]).map(defOf)
  const types = options.map((option) => option?.type).sort()
  if (types.join() !== 'array,boolean,null,number,record,string') return false
  const own = (schema: unknown) => defOf(schema) === lazy
  return options.every((option) => {
    if (option?.type === 'array') return own(option['element'])
    return option?.type === 'record' ? own(option['valueType']) : true
  })
}

function refuseCode(def: Def, path: readonly string[], report: Report): void {
  if (checksOf(def).some(isCode)) reportCode(path, report)
}

export function reportCode(path: readonly string[], report: Report): void {
  const hint = 'Check it in the view’s SQL, or say it with min, max, regex or enum.'
  report(path, 'a refinement is code, which a schema of events cannot hold', hint)
}

function refuseType(def: Def, path: readonly string[], report: Report): undefined {
  const alternative =
    alternatives[def['coerce'] === true ? 'coerce' : def.type] ?? 'Use types that JSON Schema can say.'
  report(path, `${nameOf(def)} cannot be said in JSON Schema`, alternative)
  return undefined
}

function nameOf(def: Def): string {
  return def['coerce'] === true ? `z.coerce.${def.type}()` : (names[def.type] ?? `z.${def.type}()`)
}

const names: Readonly<Record<string, string>> = {
  pipe: 'a transform, pipe or codec',
  transform: 'a transform',
  custom: 'z.custom() or z.instanceof()',
  nonoptional: '.nonoptional()',
  catch: '.catch(…)',
  prefault: '.prefault(…)',
  lazy: 'a recursive type',
}

const alternatives: Readonly<Record<string, string>> = {
  pipe: 'Keep the type before it here, and convert in the view’s SQL.',
  transform: 'Keep the type before it here, and convert in the view’s SQL.',
  custom: 'Use a type that JSON has, with min, max, regex or enum.',
  coerce: 'Use the type itself; decimal(p, s) and int64() take strings and numbers.',
  catch: 'Leave it out: an event with a bad value goes to the dead letters, with the reason.',
  prefault: 'Use .default(…).',
  nonoptional: 'Leave out .optional().',
  lazy: 'Use z.json() for values of any depth.',
  bigint: 'Use int64(), or decimal(38, 0) for more digits.',
  date: 'Use z.iso.datetime() for timestamps, z.iso.date() for dates.',
  map: 'Use z.record(z.string(), …).',
  set: 'Use z.array(…).',
  tuple: 'Use z.object({ … }) with named fields, or z.array(…).',
  intersection: 'Use one z.object({ …a.shape, …b.shape }).',
  undefined: 'Use .optional().',
  void: 'Use .optional().',
  null: 'Use a type with .nullable().',
  never: 'Leave the field out.',
  nan: 'Use z.number().nullable().',
  symbol: 'Use z.string().',
  function: 'Use a type that JSON has.',
  promise: 'Use the type inside it.',
  file: 'Use z.string() with a name or URL.',
  success: 'Use z.boolean().',
}
