/**
 * Reference files of a batch definition: where its SQL reads one, by `read_csv('ref/x.csv')` and its like or by name in
 * FROM, the tree is rewritten to read a relation of ours, and what is to be read is said as plain data. A path is a
 * text that stands in the SQL, below the project's folder; an option is a constant. Pure but for the syntax seam.
 */

import { nearestName } from '../std/nearest-name.ts'
import type { Mistakes } from './mistakes.ts'
import { printExpressions } from './planned-link.ts'
import type { SqlNode, SqlSyntax } from './sql-syntax.ts'
import {
  columnNames,
  contains,
  functionName,
  isExpression,
  isNode,
  nodeOf,
  nodesOf,
  textOf,
} from './syntax-tree.ts'

/** One way in which a file is read. */
export interface FileUse {
  /** Name of the relation that stands for it in the rewritten SQL. */
  readonly name: string
  /** As the SQL has it. */
  readonly path: string
  readonly reader: 'read_csv' | 'read_parquet' | 'read_json'
  /** Options of the reader as SQL, e.g. `header = true`. */
  readonly options: readonly string[]
  readonly at: SqlNode
}

const readers: Readonly<Record<string, FileUse['reader']>> = {
  read_csv: 'read_csv',
  read_csv_auto: 'read_csv',
  read_parquet: 'read_parquet',
  parquet_scan: 'read_parquet',
  read_json: 'read_json',
  read_json_auto: 'read_json',
  read_ndjson: 'read_json',
  read_ndjson_auto: 'read_json',
}

/** Options that say how the bytes of a file are to be read, and nothing of where it lies. */
const options: ReadonlySet<string> = new Set(
  (
    'all_varchar allow_quoted_nulls auto_detect binary_as_string columns comment convert_strings_to_integers dateformat ' +
    'date_format decimal_separator delim delimiter dtypes escape field_appearance_threshold format header ' +
    'ignore_errors map_inference_threshold maximum_depth maximum_object_size max_line_size names new_line ' +
    'normalize_names null_padding nullstr quote records sample_size sep skip strict_mode thousands timestampformat ' +
    'timestamp_format types'
  ).split(' '),
)

const endings: readonly (readonly [RegExp, FileUse['reader']])[] = [
  [/\.(csv|tsv)(\.gz)?$/i, 'read_csv'],
  [/\.parquet$/i, 'read_parquet'],
  [/\.(json|ndjson|jsonl)(\.gz)?$/i, 'read_json'],
]

/** The statement with a relation in the place of every file, and what those relations are. */
export async function takeFiles(
  statement: SqlNode,
  syntax: SqlSyntax,
  mistakes: Mistakes,
): Promise<{ readonly statement: SqlNode; readonly files: readonly FileUse[] }> {
  const calls: { readonly name: string; readonly call: SqlNode; readonly at: SqlNode }[] = []
  const files: FileUse[] = []
  const visit = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(visit)
    if (!isNode(value) || Object.getPrototypeOf(value) === null) return value
    const call = value.type === 'TABLE_FUNCTION' ? nodeOf(value.function) : undefined
    const reader = call === undefined ? undefined : readers[functionName(call) ?? '']
    if (call !== undefined && reader !== undefined) {
      const name = `$file:${calls.length + files.length}`
      calls.push({ name, call, at: value })
      return tableNode(value, name, functionName(call) ?? '')
    }
    const path = value.type === 'BASE_TABLE' ? textOf(value.table_name) : ''
    const named = /[./\\]/.test(path) && textOf(value.schema_name) === ''
    const ending = named ? endings.find(([pattern]) => pattern.test(path)) : undefined
    if (ending !== undefined) {
      const name = `$file:${calls.length + files.length}`
      files.push({ name, path, reader: ending[1], options: [], at: value })
      return tableNode(value, name, stemOf(path))
    }
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, visit(part)]))
  }
  const rewritten = visit(statement) as SqlNode
  for (const { name, call, at } of calls) {
    const use = await fileOfCall(name, call, at, syntax, mistakes)
    if (use !== undefined) files.push(use)
  }
  return { statement: rewritten, files }
}

function tableNode(node: SqlNode, name: string, alias: string): SqlNode {
  const { function: _function, ...rest } = node
  return {
    ...rest,
    type: 'BASE_TABLE',
    alias: textOf(node.alias) || alias,
    schema_name: '',
    table_name: name,
    column_name_alias: node.column_name_alias ?? [],
    catalog_name: '',
    at_clause: null,
  }
}

function stemOf(path: string): string {
  return path.replace(/^.*[/\\]/, '').replace(/\..*$/, '')
}

async function fileOfCall(
  name: string,
  call: SqlNode,
  at: SqlNode,
  syntax: SqlSyntax,
  mistakes: Mistakes,
): Promise<FileUse | undefined> {
  const [first, ...others] = nodesOf(call.children)
  const value = first?.class === 'CONSTANT' ? nodeOf(first.value) : undefined
  const function_ = functionName(call) ?? ''
  if (first === undefined || typeof value?.value !== 'string') {
    mistakes.add({
      code: 'VIEW_FILE',
      message: `"${function_}" does not name its file as a text`,
      hint: `Write ${function_}('ref/NAME.csv'): one file, its path relative to the project's folder.`,
      at: call,
    })
    return undefined
  }
  const texts: string[] = []
  for (const node of others) {
    const text = await optionText(node, function_, syntax, mistakes)
    if (text !== undefined) texts.push(text)
  }
  return { name, path: value.value, reader: readers[function_]!, options: texts, at }
}

/** `name = value` of an option that is allowed and whose value is a constant. */
async function optionText(
  node: SqlNode,
  reader: string,
  syntax: SqlSyntax,
  mistakes: Mistakes,
): Promise<string | undefined> {
  const named = textOf(node.alias)
  const compared =
    node.class === 'COMPARISON' && node.type === 'COMPARE_EQUAL' ? nodeOf(node.left) : undefined
  const name = (named || (compared && columnNames(compared)?.[0]) || '').toLowerCase()
  const value = named === '' ? nodeOf(node.right) : { ...node, alias: '' }
  if (!options.has(name) || value === undefined) {
    const near = nearestName(name, options)
    mistakes.add({
      code: 'VIEW_FILE',
      message: `a reference file cannot be read with the option "${name}" of "${reader}"`,
      hint: near === undefined ? 'Leave the option out.' : `Did you mean "${near}"?`,
      at: node,
    })
    return undefined
  }
  if (contains(value, (part) => isExpression(part) && !isConstant(part))) {
    mistakes.add({
      code: 'VIEW_FILE',
      message: `the option "${name}" of "${reader}" is not a constant`,
      at: node,
    })
    return undefined
  }
  return `${name} = ${(await printExpressions([value], syntax))[0]}`
}

const constructors: ReadonlySet<string> = new Set(['struct_pack', 'list_value', 'map', 'row'])

function isConstant(node: SqlNode): boolean {
  if (node.class === 'CONSTANT' || node.class === 'CAST') return true
  return constructors.has(functionName(node) ?? '')
}
