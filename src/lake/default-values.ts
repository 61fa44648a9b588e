/**
 * From a raw value, as decoded from JSON or Parquet, to the value of a field, as SQL: the schema's defaults are filled
 * in at every depth, and a field that had other names before is found under each of them. Pure functions, no state.
 * Where a type has neither defaults nor former names inside, the expression is returned as it is, so streams without
 * them pay nothing.
 */

import {
  type Field,
  type FieldType,
  type JsonValue,
  namesOf,
  type ObjectType,
  quoteIdentifier,
  quoteLiteral,
  type ReadField,
  sqlType,
} from '../model/schema.ts'

/** DuckDB's type for raw values: as a field's, and within objects one member for each name that a field has had. */
export function rawType(type: FieldType): string {
  return sqlType(rawOf(type))
}

/** The value of a field from its raw values, one for each of its names. */
export function typedField(
  raws: readonly string[],
  field: ReadField,
  options: { readonly defaults?: boolean } = {},
): string {
  const defaults = options.defaults !== false
  const raw = firstOf(raws, defaults ? field : undefined)
  return withInner(narrowed(raw, field), field.type, { defaults, depth: 0 })
}

/** The first raw value that is there, else the default. */
function firstOf(raws: readonly string[], field: Field | undefined): string {
  const last = field?.defaultValue === undefined ? [] : [valueLiteral(field.defaultValue, field.type)]
  const all = [...raws, ...last]
  return all.length === 1 ? all.join() : `coalesce(${all.join(', ')})`
}

/** A value that the reader's type cannot hold is an error, never rounded. */
function narrowed(raw: string, { name, type, wider }: ReadField): string {
  if (wider === undefined) return raw
  const fault = quoteLiteral(`field "${name}" has a value that is no ${sqlType(type)}`)
  return (
    `list_transform([${raw}], lambda w: CASE WHEN w IS NULL OR TRY_CAST(w AS ${sqlType(type)}) = w ` +
    `THEN TRY_CAST(w AS ${sqlType(type)}) ELSE error(${fault}) END)[1]`
  )
}

/** A constant of a schema's type. */
export function valueLiteral(value: JsonValue, type: FieldType): string {
  if (value === null) return `CAST(NULL AS ${sqlType(type)})`
  if (type.kind === 'json') return `CAST(${quoteLiteral(JSON.stringify(value))} AS JSON)`
  if (type.kind === 'array') {
    const items = (value as readonly JsonValue[]).map((item) => valueLiteral(item, type.element))
    return `CAST([${items.join(', ')}] AS ${sqlType(type)})`
  }
  if (type.kind === 'object') {
    const given = value as { readonly [key: string]: JsonValue }
    const entries = type.fields.map(
      (field) =>
        `${quoteIdentifier(field.name)} := ${valueLiteral(given[field.name] ?? field.defaultValue ?? null, field.type)}`,
    )
    return `struct_pack(${entries.join(', ')})`
  }
  if (type.kind === 'map') {
    const entries = Object.entries(value as { readonly [key: string]: JsonValue })
    const keys = entries.map(([key]) => quoteLiteral(key))
    const values = entries.map(([, entry]) => valueLiteral(entry, type.value))
    return `CAST(MAP([${keys.join(', ')}], [${values.join(', ')}]) AS ${sqlType(type)})`
  }
  return `CAST(${quoteLiteral(String(value))} AS ${sqlType(type)})`
}

interface Inner {
  readonly defaults: boolean
  readonly depth: number
}

function withInner(value: string, type: FieldType, { defaults, depth }: Inner): string {
  if (!needsInner(type, defaults)) return value
  const inner = `e${depth}`
  const deeper = { defaults, depth: depth + 1 }
  switch (type.kind) {
    case 'object': {
      const entries = type.fields.map((field) => {
        const raws = namesOf(field).map((name) => `${inner}.${quoteIdentifier(name)}`)
        const first = narrowed(firstOf(raws, defaults ? field : undefined), field)
        return `${quoteIdentifier(field.name)} := ${withInner(first, field.type, deeper)}`
      })
      // A list of one gives the value a name, so that a deep one is not written out once per field.
      return `list_transform([${value}], lambda ${inner}: CASE WHEN ${inner} IS NULL THEN NULL ELSE struct_pack(${entries.join(', ')}) END)[1]`
    }
    case 'array':
      return `list_transform(${value}, lambda ${inner}: ${withInner(inner, type.element, deeper)})`
    case 'map':
      return (
        `map_from_entries(list_transform(map_entries(${value}), lambda ${inner}: struct_pack("key" := ${inner}."key", ` +
        `"value" := ${withInner(`${inner}."value"`, type.value, deeper)})))`
      )
    default:
      return value
  }
}

function needsInner(type: FieldType, defaults: boolean): boolean {
  switch (type.kind) {
    case 'object':
      return type.fields.some(
        (field) =>
          field.aliases !== undefined ||
          (field as ReadField).wider !== undefined ||
          (defaults && field.defaultValue !== undefined) ||
          needsInner(field.type, defaults),
      )
    case 'array':
      return needsInner(type.element, defaults)
    case 'map':
      return needsInner(type.value, defaults)
    default:
      return false
  }
}

function rawOf(type: FieldType): FieldType {
  switch (type.kind) {
    case 'object':
      return rawObject(type)
    case 'array':
      return { ...type, element: rawOf(type.element) }
    case 'map':
      return { ...type, value: rawOf(type.value) }
    default:
      return type
  }
}

function rawObject({ fields }: ObjectType): ObjectType {
  const raw = fields.flatMap((field: ReadField) =>
    namesOf(field).map((name) => ({ ...field, name, type: rawOf(field.wider ?? field.type) })),
  )
  // A field that is asked for under two of its names is decoded once.
  const once = raw.filter(({ name }, index) => raw.findIndex((other) => other.name === name) === index)
  return { kind: 'object', fields: once }
}
