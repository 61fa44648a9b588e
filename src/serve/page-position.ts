/** Where the page before ended, in routes that give events page after page. No state. */

import type { EventPosition } from '../engine/engine.ts'
import type { QueryParameters } from './query-parameters.ts'

/** The parameter `after`: what `next` of the page before says. */
export function pagePosition(query: QueryParameters): EventPosition | undefined {
  const text = query.text('after')
  if (text === undefined) return undefined
  const parts = /^(\d{1,15})\.(\d{1,9})$/.exec(text)
  if (parts !== null) return { commit: Number(parts[1]), index: Number(parts[2]) }
  query.mistake('after', `is "${text}", not COMMIT.INDEX`, 'Give what `next` of the page before says.')
  return undefined
}
