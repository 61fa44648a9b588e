/**
 * Default values in SQL: an expression over a raw value, as decoded from JSON or Parquet, that fills in the schema's
 * defaults at every depth. Pure functions, no state. Where a type has no default inside, the expression is returned
 * as it is, so streams without defaults pay nothing.
 */

import {
  type Field,
  type FieldType,
  type JsonValue,
  quoteIdentifier,
  quoteLiteral,
  sqlType,
} from '../model/schema.ts'

/** The value of a field: `raw` with the field's own default and those inside of it. */
export function typedField(raw: string, field: Field, options: { readonly defaults?: boolean } = {}): string {
  if (options.defaults === false) return raw
  const value =
    field.defaultValue === undefined
      ? raw
      : `coalesce(${raw}, ${valueLiteral(field.defaultValue, field.type)})`
  return withDefaults(value, field.type, 0)
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

function withDefaults(value: string, type: FieldType, depth: number): string {
  if (!hasDefaults(type)) return value
  const inner = `e${depth}`
  switch (type.kind) {
    case 'object': {
      const entries = type.fields.map((field) => {
        const raw = `${inner}.${quoteIdentifier(field.name)}`
        const filled =
          field.defaultValue === undefined
            ? raw
            : `coalesce(${raw}, ${valueLiteral(field.defaultValue, field.type)})`
        return `${quoteIdentifier(field.name)} := ${withDefaults(filled, field.type, depth + 1)}`
      })
      // A list of one gives the value a name, so that a deep one is not written out once per field.
      return `list_transform([${value}], lambda ${inner}: CASE WHEN ${inner} IS NULL THEN NULL ELSE struct_pack(${entries.join(', ')}) END)[1]`
    }
    case 'array':
      return `list_transform(${value}, lambda ${inner}: ${withDefaults(inner, type.element, depth + 1)})`
    case 'map':
      return (
        `map_from_entries(list_transform(map_entries(${value}), lambda ${inner}: struct_pack("key" := ${inner}."key", ` +
        `"value" := ${withDefaults(`${inner}."value"`, type.value, depth + 1)})))`
      )
    default:
      return value
  }
}

function hasDefaults(type: FieldType): boolean {
  switch (type.kind) {
    case 'object':
      return type.fields.some((field) => field.defaultValue !== undefined || hasDefaults(field.type))
    case 'array':
      return hasDefaults(type.element)
    case 'map':
      return hasDefaults(type.value)
    default:
      return false
  }
}
