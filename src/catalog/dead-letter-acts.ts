/** What was done about dead letters: sent again or dropped, by whom, with what outcome. Functions over the catalog. */

import type { JsonValue } from '../model/schema.ts'
import { recordAudit } from './journal.ts'
import type { Catalog } from './open-catalog.ts'

export interface DeadLetterAct {
  readonly timeMs: number
  readonly who: string
  readonly what: 'sent' | 'dropped'
  /** By the letter's id: what became of it. */
  readonly outcome: Readonly<Record<string, JsonValue>>
}

/** Recorded together with an entry in the audit. */
export function recordDeadLetterAct(catalog: Catalog, act: Omit<DeadLetterAct, 'timeMs'>): void {
  const { who, what, outcome } = act
  const letters = Object.keys(outcome)
  catalog.transaction('record-dead-letters', () => {
    catalog.run(
      'INSERT INTO dead_letter_acts (time_ms, who, what, letters, outcome) VALUES (?, ?, ?, ?, ?)',
      catalog.clock.nowMs(),
      who,
      what,
      JSON.stringify(letters),
      JSON.stringify(outcome),
    )
    recordAudit(catalog, `dead letters ${what}`, { who, letters: letters.length, first: letters[0] ?? null })
  })
}

/** Oldest first. */
export function deadLetterActs(catalog: Catalog): readonly DeadLetterAct[] {
  return catalog.all('SELECT * FROM dead_letter_acts ORDER BY id').map((row) => ({
    timeMs: Number(row.time_ms),
    who: String(row.who),
    what: row.what === 'dropped' ? 'dropped' : 'sent',
    outcome: JSON.parse(String(row.outcome)) as DeadLetterAct['outcome'],
  }))
}
