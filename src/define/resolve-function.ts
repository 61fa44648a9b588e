/**
 * From what `fn()` was given to a `FunctionDef`: name, types, how NULL is met, code and artefacts. Every mistake is
 * reported with its place. No state.
 */

import { z } from 'zod'
import type { FieldType } from '../model/schema.ts'
import { sqlType } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import type { FunctionSpec } from './function.ts'
import type { FunctionDef, FunctionType, ValueForm } from './function-def.ts'
import { lowerSchema } from './lower.ts'
import type { CallSite } from './places.ts'
import type { Refuse } from './refuse.ts'
import { type CodeSource, resolveCode } from './resolve-code.ts'

const ARGS_MAX = 50

const forms: Readonly<Record<string, ValueForm>> = {
  BOOLEAN: 'boolean',
  INTEGER: 'number',
  BIGINT: 'bigint',
  DOUBLE: 'number',
  VARCHAR: 'text',
  DATE: 'text',
  TIMESTAMP: 'text',
  UUID: 'text',
  JSON: 'json',
}

/** SQL's other names of these types. */
const otherNames: Readonly<Record<string, string>> = {
  BOOL: 'BOOLEAN',
  INT: 'INTEGER',
  INT64: 'BIGINT',
  LONG: 'BIGINT',
  FLOAT: 'DOUBLE',
  REAL: 'DOUBLE',
  NUMBER: 'DOUBLE',
  STRING: 'VARCHAR',
  TEXT: 'VARCHAR',
  NUMERIC: 'DECIMAL(18,3)',
  DECIMAL: 'DECIMAL(18,3)',
  DATETIME: 'TIMESTAMP',
}

export function resolveFunction(
  spec: FunctionSpec,
  call: CallSite,
  source: CodeSource,
  refuse: Refuse,
): FunctionDef | undefined {
  const { name } = spec
  const what = `function "${String(name)}"`
  if (typeof name !== 'string' || !/^[A-Za-z][A-Za-z0-9_]{0,62}$/.test(name)) {
    const hint = 'Use up to 63 letters, digits and "_", beginning with a letter.'
    refuse('PROJECT_NAME', `${what} has a name that is not allowed`, call.name, hint)
    return undefined
  }
  const { calledAt } = spec
  const wrong = (message: string, option: string, hint?: string) =>
    refuse('LOGIC_INVALID', `${what}: ${message}`, call.option([option]), hint)
  if (typeof spec.call !== 'function' && typeof spec.vector !== 'function') {
    wrong('it has neither `call` nor `vector`', 'call', 'Give it `call: (a, b) => …`.')
  } else if (spec.call !== undefined && spec.vector !== undefined) {
    wrong('it has both `call` and `vector`', 'vector', 'Keep one of them.')
  }
  if (spec.nulls !== undefined && spec.nulls !== 'skip' && spec.nulls !== 'pass') {
    wrong(`nulls ${JSON.stringify(spec.nulls)} is not known`, 'nulls', 'Use "skip" or "pass".')
  }
  const args: readonly (FunctionType | undefined)[] = Array.isArray(spec.args)
    ? spec.args.map((given, index) => typeOf(given, `argument ${index + 1}`, 'args', wrong))
    : []
  if (!Array.isArray(spec.args)) wrong('`args` is not a list of types', 'args', "Write e.g. ['DOUBLE'].")
  // Without an argument it is a constant, and nothing says how many rows to make.
  else if (args.length === 0)
    wrong('it has no arguments', 'args', 'A value that no event decides belongs into the SQL.')
  else if (args.length > ARGS_MAX) wrong(`it has more than ${ARGS_MAX} arguments`, 'args')
  const returns = typeOf(spec.returns, 'the result', 'returns', wrong)
  const code = resolveCode(what, { calledAt, artefacts: spec.artefacts }, call, source, refuse)
  const known = args.filter((type) => type !== undefined)
  if (returns === undefined || known.length !== args.length) return undefined
  return { name, place: call.place, args: known, returns, nulls: spec.nulls ?? 'skip', code }
}

type Wrong = (message: string, option: string, hint?: string) => void

function typeOf(given: unknown, what: string, option: string, wrong: Wrong): FunctionType | undefined {
  return typeof given === 'string'
    ? namedType(given, what, option, wrong)
    : zodType(given, what, option, wrong)
}

function namedType(given: string, what: string, option: string, wrong: Wrong): FunctionType | undefined {
  const list = given.endsWith('[]')
  const written = (list ? given.slice(0, -2) : given).trim().toUpperCase().replaceAll(' ', '')
  const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(written)
  const isDecimal =
    decimal !== null &&
    Number(decimal[1]) >= 1 &&
    Number(decimal[1]) <= 38 &&
    Number(decimal[2]) <= Number(decimal[1])
  const form = isDecimal ? 'text' : forms[written]
  if (form !== undefined) return { sql: written, form, ...(list ? { list } : {}) }
  const near = otherNames[written] ?? nearestName(written, Object.keys(forms))
  const hint =
    near === undefined ? `Use ${Object.keys(forms).join(', ')} or DECIMAL(p,s).` : `Did you mean '${near}'?`
  wrong(`the type "${given}" of ${what} is not known`, option, hint)
  return undefined
}

function zodType(given: unknown, what: string, option: string, wrong: Wrong): FunctionType | undefined {
  let refused = false
  const report = (_path: readonly string[], message: string, hint: string) => {
    refused = true
    wrong(`${what}: ${message}`, option, hint)
  }
  if (typeof given !== 'object' || given === null || !('_zod' in given)) {
    wrong(`${what} has no type`, option, "Name one, e.g. 'DOUBLE', or give a Zod type, e.g. z.number().")
    return undefined
  }
  const field = lowerSchema(z.object({ value: given as z.ZodType }), report)?.fields[0]
  if (refused || field === undefined) return undefined
  if (field.nullable || field.optional || field.defaultValue !== undefined) {
    wrong(
      `${what} is optional, nullable or has a default`,
      option,
      "Leave that out; `nulls: 'pass'` lets null in.",
    )
    return undefined
  }
  const list = field.type.kind === 'array'
  const element = field.type.kind === 'array' ? field.type.element : field.type
  const form = formOf(element)
  if (form === undefined) {
    wrong(
      `${what} is ${element.kind === 'object' ? 'an object' : `a ${element.kind}`}`,
      option,
      'Take its fields as arguments of their own, or z.json().',
    )
    return undefined
  }
  return { sql: sqlType(element), form, ...(list ? { list } : {}) }
}

function formOf(type: FieldType): ValueForm | undefined {
  switch (type.kind) {
    case 'boolean':
      return 'boolean'
    case 'integer':
      return type.text === true ? 'int' : 'number'
    case 'double':
      return 'number'
    case 'json':
      return 'json'
    case 'array':
    case 'object':
    case 'map':
      return undefined
    default:
      return 'text'
  }
}
