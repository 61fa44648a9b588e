/** Finds the place that a DuckDB message points at (`LINE 2: …` with a caret below) in the text it speaks of. Pure. */

/** Character index in `sql`, or undefined when the message points nowhere. `prefix` is what was put before it. */
export function placeOfDuckDbError(error: unknown, sql: string, prefix = 'DESCRIBE '): number | undefined {
  const message = error instanceof Error ? error.message : String(error)
  const found = /\nLINE (\d+): (.*)\n( *)\^/.exec(message)
  if (found === null) return undefined
  const [, lineText, excerptText, caretText] = found
  const caret = caretText!.length - `LINE ${lineText}: `.length
  const lines = `${prefix}${sql}`.split('\n')
  const lineIndex = Number(lineText) - 1
  const line = lines[lineIndex]
  if (line === undefined || caret < 0) return undefined
  const isCut = excerptText!.startsWith('...')
  const excerpt = excerptText!.replace(/^\.\.\./, '').replace(/\.\.\.$/, '')
  const start = line.indexOf(excerpt)
  if (start < 0) return undefined
  const column = start + caret - (isCut ? 3 : 0)
  const before = lines.slice(0, lineIndex).reduce((sum, text) => sum + text.length + 1, 0)
  return Math.max(0, before + column - prefix.length)
}
