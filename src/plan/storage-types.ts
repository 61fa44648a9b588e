/**
 * Types of partial rows: what Parquet and a table keep exactly, and how other types are kept. Pure functions over
 * DuckDB's type names.
 *
 * Parquet gives HUGEINT back as DOUBLE, ENUM and BIT as text, INTERVAL cut to milliseconds; such values are kept as
 * their text, which casts back to the same value. A nested type is kept with its inner types so replaced.
 */

const asText: ReadonlySet<string> = new Set([
  'HUGEINT',
  'UHUGEINT',
  'INTERVAL',
  'BIT',
  'ENUM',
  'TIME WITH TIME ZONE',
  'TIMESTAMP_S',
  'TIMESTAMP_MS',
])

const kept: ReadonlySet<string> = new Set([
  'BOOLEAN',
  'TINYINT',
  'SMALLINT',
  'INTEGER',
  'BIGINT',
  'UTINYINT',
  'USMALLINT',
  'UINTEGER',
  'UBIGINT',
  'FLOAT',
  'DOUBLE',
  'DECIMAL',
  'VARCHAR',
  'JSON',
  'BLOB',
  'UUID',
  'DATE',
  'TIME',
  'TIMESTAMP',
  'TIMESTAMP_NS',
  'TIMESTAMP WITH TIME ZONE',
])

/** The type in which values of `type` are kept, or undefined when there is none. */
export function storageType(type: string): string | undefined {
  const parsed = parseType(type)
  return parsed && storageOf(parsed)
}

/** Integers whose sum is a HUGEINT and fits a DECIMAL(38,0). */
export function isSmallInteger(type: string): boolean {
  return /^(BOOLEAN|U?(TINYINT|SMALLINT|INTEGER|BIGINT))$/.test(type)
}

export function isDecimal(type: string): boolean {
  return type.startsWith('DECIMAL(') && type.endsWith(')')
}

export function isFloat(type: string): boolean {
  return type === 'DOUBLE' || type === 'FLOAT'
}

/** Whether a struct in the type has no names, as row(a, b) has none: no cast can name such a type. */
export function hasUnnamedStruct(type: string): boolean {
  const unnamed = (node: TypeNode): boolean => {
    switch (node.kind) {
      case 'plain':
        return false
      case 'list':
        return unnamed(node.element)
      case 'map':
        return unnamed(node.key) || unnamed(node.value)
      default:
        return !node.named || node.fields.some((field) => unnamed(field.type))
    }
  }
  const parsed = parseType(type)
  return parsed !== undefined && unnamed(parsed)
}

/** Whether equal values have equal texts: not so for INTERVAL ('30 days' = '1 month') and times with a zone. */
export function hasOneTextPerValue(type: string): boolean {
  return !/\bINTERVAL\b|\bTIME WITH TIME ZONE\b/.test(type.replaceAll(/"(?:[^"]|"")*"/g, ''))
}

type TypeNode =
  | { readonly kind: 'plain'; readonly name: string; readonly modifiers: string }
  | { readonly kind: 'list'; readonly element: TypeNode }
  | {
      readonly kind: 'struct'
      readonly named: boolean
      readonly fields: readonly { readonly name: string; readonly type: TypeNode }[]
    }
  | { readonly kind: 'map'; readonly key: TypeNode; readonly value: TypeNode }

function storageOf(node: TypeNode): string | undefined {
  switch (node.kind) {
    case 'plain':
      if (asText.has(node.name)) return 'VARCHAR'
      return kept.has(node.name) ? node.name + node.modifiers : undefined
    case 'list': {
      const element = storageOf(node.element)
      return element && `${element}[]`
    }
    case 'map': {
      const key = storageOf(node.key)
      const value = storageOf(node.value)
      return key && value && `MAP(${key}, ${value})`
    }
    default: {
      const fields = node.fields.map((field) => ({ name: field.name, type: storageOf(field.type) }))
      if (fields.some((field) => field.type === undefined)) return undefined
      return `STRUCT(${fields.map((field) => `${field.name} ${field.type}`).join(', ')})`
    }
  }
}

/** Reads a type name as DESCRIBE prints it; undefined for what is no such name. */
function parseType(type: string): TypeNode | undefined {
  const tokens = type.match(/"(?:[^"]|"")*"|'(?:[^']|'')*'|\w+|[()[\],]/g) ?? []
  let position = 0
  const next = (): string => tokens[position++] ?? ''
  const peek = (): string => tokens[position] ?? ''

  function one(): TypeNode | undefined {
    let node = base()
    while (node !== undefined && peek() === '[') {
      while (next() !== ']' && position < tokens.length) {
        // a fixed length is not kept: the list has it
      }
      node = { kind: 'list', element: node }
    }
    return node
  }

  function base(): TypeNode | undefined {
    const name = next()
    if (name === 'STRUCT') return struct()
    if (name === 'MAP') return map()
    const words = [name]
    while (/^\w+$/.test(peek())) words.push(next())
    return { kind: 'plain', name: words.join(' '), modifiers: peek() === '(' ? modifiers() : '' }
  }

  function modifiers(): string {
    const parts: string[] = []
    do parts.push(peek())
    while (next() !== ')' && position < tokens.length)
    return parts.join('')
  }

  function struct(): TypeNode | undefined {
    const fields: { name: string; type: TypeNode }[] = []
    let named = true
    next()
    do {
      // A struct made by row(…) has no names; it is kept under made-up ones.
      const isNamed = /^["\w]/.test(tokens[position + 1] ?? '')
      named &&= isNamed
      const name = isNamed ? next() : `f${fields.length}`
      const fieldType = one()
      if (fieldType === undefined) return undefined
      fields.push({ name, type: fieldType })
    } while (next() === ',')
    return { kind: 'struct', named, fields }
  }

  function map(): TypeNode | undefined {
    next()
    const key = one()
    next()
    const value = one()
    next()
    return key && value && { kind: 'map', key, value }
  }

  const node = one()
  return position === tokens.length ? node : undefined
}
