/** Where a view's SQL speaks of a field of a stream: for saying what a change of the stream breaks. Pure. */

import { placeWithin } from './places.ts'
import type { SourcePlace, ViewDef } from './types.ts'

/** Places of a top-level field, or of the star that means it; empty for a view that does not name the stream. */
export function fieldMentions(
  { sql, sqlPlace }: Pick<ViewDef, 'sql' | 'sqlPlace'>,
  stream: string,
  field: string,
): readonly SourcePlace[] {
  const words = [...wordsOf(sql)]
  if (!words.some(({ word }) => word === stream.toLowerCase())) return []
  const named = words.filter(({ word }) => word === field.toLowerCase())
  const stars = words.filter(
    ({ word }, index) => word === '*' && ['select', ',', '.'].includes(words[index - 1]?.word ?? ''),
  )
  return (named.length > 0 ? named : stars).map(({ at }) => placeWithin(sqlPlace, sql, at))
}

/** Names, keywords and signs in lower case, without comments and texts. */
function* wordsOf(sql: string): Generator<{ readonly word: string; readonly at: number }> {
  const pattern =
    /'(?:[^']|'')*'|--[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"]|"")*"|[\p{L}_][\p{L}\p{N}_$]*|[^\s\p{L}\p{N}_]/gu
  for (const match of sql.matchAll(pattern)) {
    const [text] = match
    if (/^(?:'|--|\/\*)/.test(text)) continue
    const word = text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text
    yield { word: word.toLowerCase(), at: match.index }
  }
}
