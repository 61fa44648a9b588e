/**
 * What changed between two texts of a view's SQL, in sentences: clause by clause, and in the select list column by
 * column. It reads words, quotes and brackets, not grammar, so it is only ever shown to people: whether the SQL
 * changed at all is decided by its printed form. Pure.
 */

const SHOWN_MAX = 90

/** One sentence for each clause or column that differs; empty when only layout, case or comments do. */
export function sqlChanges(before: string, after: string): readonly string[] {
  return changesOf(clausesOf(before), clausesOf(after), '')
}

interface Token {
  readonly text: string
  /** As compared: words in lower case. */
  readonly plain: string
  /** Line of the SQL, from 1. */
  readonly line: number
  /** Brackets around it. */
  readonly depth: number
  /** Whether white space stands before it. */
  readonly spaced: boolean
}

type Clauses = ReadonlyMap<string, readonly Token[]>

const clauseWords = [
  'with',
  'select',
  'from',
  'where',
  'group',
  'having',
  'qualify',
  'order',
  'limit',
  'offset',
]

function changesOf(before: Clauses, after: Clauses, where: string): readonly string[] {
  return clauseWords.flatMap((word) => {
    const old = before.get(word)
    const next = after.get(word)
    if (plainText(old) === plainText(next)) return []
    if (word === 'select') return columnChanges(old ?? [], next ?? [], where)
    const inner = word === 'from' ? subqueries(old, next) : undefined
    if (inner !== undefined) return changesOf(inner[0], inner[1], ' of the subquery')
    const name = word === 'group' || word === 'order' ? `${word.toUpperCase()} BY` : word.toUpperCase()
    if (old === undefined) return [`${name} ${quoted(next)} is new${where}${lineOf(next)}`]
    if (next === undefined) return [`${name} ${quoted(old)} is gone${where}`]
    return [`${name}${where} changed from ${quoted(old)} to ${quoted(next)}${lineOf(next)}`]
  })
}

function columnChanges(before: readonly Token[], after: readonly Token[], where: string): readonly string[] {
  const old = columnsOf(before)
  const next = columnsOf(after)
  const changes: string[] = []
  for (const [name, tokens] of next) {
    const was = old.get(name)
    const column = `column "${name}"${where}`
    if (was === undefined) changes.push(`${column} is new: ${quoted(tokens)}${lineOf(tokens)}`)
    else if (plainText(was) !== plainText(tokens))
      changes.push(`${column} changed from ${quoted(was)} to ${quoted(tokens)}${lineOf(tokens)}`)
  }
  for (const name of old.keys()) if (!next.has(name)) changes.push(`column "${name}"${where} is gone`)
  if (changes.length === 0) changes.push(`the order of the columns${where} changed`)
  return changes
}

/** Items of a select list by the name of their column. */
function columnsOf(tokens: readonly Token[]): ReadonlyMap<string, readonly Token[]> {
  const items: Token[][] = [[]]
  for (const token of tokens) {
    if (token.text === ',' && token.depth === tokens[0]?.depth) items.push([])
    else items.at(-1)!.push(token)
  }
  const columns = new Map<string, readonly Token[]>()
  for (const item of items) {
    const named = item.at(-2)?.plain === 'as'
    const name = named || item.length === 1 ? (item.at(-1)?.text ?? '') : shown(item)
    const expression = named ? item.slice(0, -2) : item
    columns.set(name.replace(/^"(.*)"$/s, '$1'), expression)
  }
  return columns
}

/** Both FROM clauses as one subquery in brackets with a name, read further. */
function subqueries(
  old: readonly Token[] | undefined,
  next: readonly Token[] | undefined,
): readonly [Clauses, Clauses] | undefined {
  const before = subquery(old)
  const after = subquery(next)
  return before === undefined || after === undefined ? undefined : [before, after]
}

function subquery(tokens: readonly Token[] = []): Clauses | undefined {
  const depth = tokens[0]?.depth
  if (tokens[0]?.text !== '(') return undefined
  const end = tokens.findIndex((token) => token.text === ')' && token.depth === depth)
  const rest = tokens.slice(end + 1)
  if (end < 0 || rest.some((token) => token.plain === 'join' || token.text === ',')) return undefined
  return clausesFrom(tokens.slice(1, end))
}

function clausesOf(sql: string): Clauses {
  return clausesFrom(tokensOf(sql).filter((token) => token.text !== ';'))
}

function clausesFrom(tokens: readonly Token[]): Clauses {
  const clauses = new Map<string, Token[]>()
  const outer = tokens[0]?.depth
  let current: Token[] = []
  let skip = false
  for (const token of tokens) {
    if (token.depth === outer && clauseWords.includes(token.plain)) {
      current = []
      clauses.set(token.plain, current)
      skip = token.plain === 'group' || token.plain === 'order'
    } else if (skip && token.plain === 'by') skip = false
    else current.push(token)
  }
  return clauses
}

function tokensOf(sql: string): readonly Token[] {
  const pattern =
    /(\s+|--[^\n]*|\/\*[\s\S]*?\*\/)|'(?:[^']|'')*'|"(?:[^"]|"")*"|[\p{L}_][\p{L}\p{N}_$]*|\d[\d_.]*(?:[eE][+-]?\d+)?|[<>=!|&:*/+-]+|./gsu
  const tokens: Token[] = []
  let line = 1
  let depth = 0
  let spaced = false
  for (const [text, blank] of sql.matchAll(pattern)) {
    if (blank !== undefined) spaced = true
    else {
      if (/^[)\]}]$/.test(text)) depth -= 1
      const isWord = /^[\p{L}_]/u.test(text)
      tokens.push({ text, plain: isWord ? text.toLowerCase() : text, line, depth, spaced })
      if (/^[([{]$/.test(text)) depth += 1
      spaced = false
    }
    line += text.split('\n').length - 1
  }
  return tokens
}

function plainText(tokens: readonly Token[] | undefined): string | undefined {
  return tokens?.map((token) => token.plain).join(' ')
}

function quoted(tokens: readonly Token[] | undefined): string {
  return `"${shown(tokens ?? [])}"`
}

function shown(tokens: readonly Token[]): string {
  const text = tokens
    .map((token, index) => (token.spaced && index > 0 ? ` ${token.text}` : token.text))
    .join('')
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX - 1)}…`
}

function lineOf(tokens: readonly Token[] | undefined): string {
  const line = tokens?.[0]?.line ?? 1
  return line === 1 ? '' : `, line ${line} of its SQL`
}
