/** Checks what a view says of late events against how it runs. No state. */

import type { CallSite } from './places.ts'
import type { Refuse } from './refuse.ts'
import type { RunDef } from './types.ts'

export function checkLate(what: string, late: unknown, run: RunDef, call: CallSite, refuse: Refuse): void {
  const place = call.option(['late'])
  if (late !== undefined && late !== 'correct' && late !== 'hold') {
    refuse(
      'PROJECT_SETTING',
      `${what}: late ${JSON.stringify(late)} is not known`,
      place,
      'Use "correct" or "hold".',
    )
  } else if (late === 'hold' && run.kind !== 'lambda') {
    const hint = 'Run the view as lambda({ … }), or leave `late` out.'
    refuse(
      'PROJECT_SETTING',
      `${what}: late: 'hold' waits for batches, and ${run.kind} has none`,
      place,
      hint,
    )
  }
}
