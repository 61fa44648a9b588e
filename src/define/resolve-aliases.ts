/**
 * Puts a stream's `aliases` into its schema: the names that fields had before, by the field's name or, for a field
 * within objects, its path such as `address.zip` or `items[].sku`. Pure.
 */

import type { Field, FieldType, ObjectType } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'

/** Told each alias that cannot be one: its key in `aliases`, what is wrong, what to do. */
export type ReportAlias = (key: string, message: string, hint: string) => void

/** Field or path → the name, or the names newest first, that it had before. */
export type AliasOptions = Readonly<Record<string, string | readonly string[]>>

export function withAliases(schema: ObjectType, aliases: unknown, report: ReportAlias): ObjectType {
  if (aliases === undefined) return schema
  if (typeof aliases !== 'object' || aliases === null || Array.isArray(aliases)) {
    report('', '`aliases` is not an object', "Write it as `aliases: { new_name: 'old_name' }`.")
    return schema
  }
  let result = schema
  for (const [key, value] of Object.entries(aliases)) {
    const names: readonly unknown[] = Array.isArray(value) ? value : [value]
    const wrong = names.find((name) => !isName(name))
    if (names.length === 0 || wrong !== undefined) {
      report(
        key,
        `${JSON.stringify(wrong)} is not a name that a field had`,
        'Give the name as a text, or several.',
      )
      continue
    }
    result = place(result, key, names as readonly string[], report) ?? result
  }
  return result
}

function isName(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name.isWellFormed() && !/^_|\p{Cc}/u.test(name)
}

function place(
  schema: ObjectType,
  key: string,
  names: readonly string[],
  report: ReportAlias,
): ObjectType | undefined {
  const known = pathsOf(schema, '')
  if (!known.includes(key)) {
    const nearest = nearestName(key, known)
    const hint = nearest === undefined ? `Fields: ${known.join(', ')}.` : `Did you mean "${nearest}"?`
    report(key, `the schema has no field "${key}" that could have had another name`, hint)
    return undefined
  }
  return inObject(schema, '', key, (field, siblings) => {
    const taken = new Map(
      siblings.flatMap((other) =>
        [other.name, ...(other.aliases ?? [])].map((name) => [name.toLowerCase(), other.name] as const),
      ),
    )
    const clash = names.find((name) => taken.has(name.toLowerCase()))
    if (clash !== undefined) {
      const owner = taken.get(clash.toLowerCase()) ?? ''
      report(
        key,
        `"${clash}" cannot be a former name of field "${key}": it is one of field "${owner}"`,
        'SQL tells no names apart by case; a former name belongs to one field alone.',
      )
      return field
    }
    return { ...field, aliases: names }
  })
}

/** The object with the field at a path changed. */
function inObject(
  type: ObjectType,
  prefix: string,
  key: string,
  change: (field: Field, siblings: readonly Field[]) => Field,
): ObjectType {
  const fields = type.fields.map((field) => {
    const path = prefix + field.name
    if (path === key) return change(field, type.fields)
    return { ...field, type: inType(field.type, path, key, change) }
  })
  return { kind: 'object', fields }
}

function inType(
  type: FieldType,
  path: string,
  key: string,
  change: (field: Field, siblings: readonly Field[]) => Field,
): FieldType {
  if (type.kind === 'object') return inObject(type, `${path}.`, key, change)
  if (type.kind === 'array') return { ...type, element: inType(type.element, `${path}[]`, key, change) }
  if (type.kind === 'map') return { ...type, value: inType(type.value, `${path}{}`, key, change) }
  return type
}

/** Every field's path, in the notation of error messages. */
function pathsOf(type: FieldType, path: string): readonly string[] {
  if (type.kind === 'array') return pathsOf(type.element, `${path}[]`)
  if (type.kind === 'map') return pathsOf(type.value, `${path}{}`)
  if (type.kind !== 'object') return []
  return type.fields.flatMap((field) => {
    const own = path === '' ? field.name : `${path}.${field.name}`
    return [own, ...pathsOf(field.type, own)]
  })
}
