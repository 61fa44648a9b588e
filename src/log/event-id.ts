/**
 * The text of an event's id, read out of its canonical JSON: what ingest gave as the id when it prepared the event.
 * Needed only for the commits that no sidecar covers, after a crash. Pure.
 */

/**
 * A string's value, else the JSON text as it stands there; undefined where the field is missing or null. `names` are
 * all that the field has had.
 */
export function eventId(json: string, ...names: readonly string[]): string | undefined {
  const event = JSON.parse(json) as Record<string, unknown>
  const field = names.find((name) => event[name] !== undefined && event[name] !== null)
  if (field === undefined) return undefined
  const value = event[field]
  if (typeof value === 'string') return value
  return sourceText(json, field)
}

/** Integers of 64 bits do not survive as numbers, so the source text of the field is taken. */
function sourceText(json: string, field: string): string | undefined {
  const found: { holder: unknown; source: string }[] = []
  const parse = JSON.parse as (
    text: string,
    reviver: (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown,
  ) => unknown
  const root = parse(json, function (key, value, context) {
    if (key === field) found.push({ holder: this, source: context.source ?? JSON.stringify(value) })
    return value
  })
  return found.find((candidate) => candidate.holder === root)?.source
}
