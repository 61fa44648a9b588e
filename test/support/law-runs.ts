/** Ways to run a view, at random: every schedule and option of lambda, hybrid, kappa. Pure, given the random numbers. */

import type { BatchScheduleDef, RunDef } from '../../src/define/types.ts'

export function randomRun(random: () => number): RunDef {
  const dice = random()
  if (dice < 0.25) return { kind: 'kappa' }
  if (dice < 0.4) {
    return {
      kind: 'hybrid',
      snapshotEveryMs: 200 + Math.floor(random() * 2_000),
      keep: 1 + Math.floor(random() * 4),
    }
  }
  return randomLambda(random)
}

export function randomLambda(random: () => number): RunDef {
  return {
    kind: 'lambda',
    schedule: randomSchedule(random),
    incremental: random() < 0.4,
    whenSpeedFails: random() < 0.5 ? 'stale' : 'refuse',
    ...(random() < 0.3 ? { maxSpanMs: 1_000 } : {}),
    maxDivergence: 0,
  }
}

function randomSchedule(random: () => number): BatchScheduleDef {
  const dice = random()
  if (dice < 0.5) return { kind: 'every', everyMs: 800 + Math.floor(random() * 4_000) }
  if (dice < 0.8) return { kind: 'events', events: 40 + Math.floor(random() * 300) }
  return { kind: 'cron', cron: random() < 0.5 ? '*/2 * * * * *' : '*/5 * * * * *' }
}
