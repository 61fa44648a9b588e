/**
 * The names of streams and views: one namespace, compared as SQL and file systems may, without case. State: the
 * names of the project being resolved.
 */

import { reservedStreamNames } from '../model/stream-names.ts'
import type { Refuse } from './refuse.ts'
import type { SourcePlace } from './types.ts'

/** Schemas of the SQL engine and of Refold's own tables. */
const reservedNames = new Set(['refold', 'main', 'temp', 'system', 'pg_catalog', 'information_schema'])

export class NameTable {
  readonly #refuse: Refuse
  readonly #seen = new Map<
    string,
    { readonly kind: string; readonly name: string; readonly place: SourcePlace }
  >()

  constructor(refuse: Refuse) {
    this.#refuse = refuse
  }

  add(kind: 'stream' | 'view', name: unknown, place: SourcePlace): void {
    if (typeof name !== 'string' || !/^[A-Za-z][A-Za-z0-9_]{0,62}$/.test(name)) {
      const hint = 'Use up to 63 letters, digits and "_", beginning with a letter.'
      this.#refuse(
        'PROJECT_NAME',
        `${kind} ${JSON.stringify(name)} has a name that is not allowed`,
        place,
        hint,
      )
      return
    }
    const folded = name.toLowerCase()
    if (reservedNames.has(folded) || (kind === 'stream' && reservedStreamNames.has(folded))) {
      this.#refuse(
        'PROJECT_NAME',
        `${kind} "${name}" has a name that Refold keeps for itself`,
        place,
        'Choose another name.',
      )
    }
    const other = this.#seen.get(folded)
    if (other === undefined) {
      this.#seen.set(folded, { kind, name, place })
      return
    }
    const where = `${other.place.file}:${other.place.line}`
    const what =
      other.name === name
        ? `there already is a ${other.kind} of this name`
        : `SQL does not tell it from ${other.kind} "${other.name}"`
    this.#refuse(
      'PROJECT_NAME',
      `${kind} "${name}": ${what}`,
      place,
      `The other one is at ${where}; rename one of the two.`,
    )
  }
}

export function checkProjectName(name: unknown, place: SourcePlace, refuse: Refuse): void {
  if (typeof name !== 'string' || name === '') return
  if (name.length > 100 || /\p{Cc}/u.test(name)) {
    refuse(
      'PROJECT_NAME',
      'the name of the project is longer than 100 characters or holds control characters',
      place,
      'Choose a short visible name.',
    )
  }
}
