/**
 * Restart after SIGKILL: from starting the process to the first right answer, with the tail and the dedupe window
 * that must come back. No state of its own.
 */

import { atMost, type BenchContext, type Measurement, type Suite } from './measurement.ts'
import { Stand, userStats } from './stand.ts'
import type { Workload } from './workload.ts'

export const restartSuite: Suite = { names: ['restart'], run: measureRestart }

const keys = 1_000_000
const bulk: Workload = { keys, poolEvents: 1_000_000, eventsPerRequest: 1000 }

async function* measureRestart(context: BenchContext): AsyncIterable<Measurement> {
  const ids = context.quick ? 1_000_000 : 10_000_000
  const tail = 1_000_000
  const stand = await Stand.open({
    name: 'restart',
    views: { user_stats: userStats },
    dedupeCount: ids,
    seal: { rows: 3_000_000, bytes: '2GB', age: '8s' },
  })
  try {
    context.say(`filling ${ids} ids over a million keys`)
    await stand.fill(bulk, ids)
    await untilSealed(stand)
    context.say(`a tail of ${tail} events`)
    await stand.fill(bulk, tail)
    const cut = stand.lastCut
    const expected = stand.eventsOf(1)
    await stand.kill()
    const startedMs = performance.now()
    stand.restart()
    const answer = await firstAnswer(stand, cut)
    const seconds = (performance.now() - startedMs) / 1000
    const events = Number((JSON.parse(answer) as { rows: { total_events: number }[] }).rows[0]?.total_events)
    if (events !== expected) throw new Error(`the first answer is not right: ${answer}`)
    yield {
      name: 'restart',
      value: Math.round(seconds * 100) / 100,
      unit: 's',
      gate: atMost(5),
      method: `SIGKILL, then from starting the process to a lookup that shows the last acknowledged event: ${keys} keys, ${tail} events of tail, ${ids} ids in the dedupe window`,
    }
    context.say('comparing the view with plain DuckDB')
    await stand.mustAgree()
  } finally {
    await stand.close()
  }
}

/** Waits until the view's slices reach its cut, so that the tail of the restart is the one that is meant. */
async function untilSealed(stand: Stand): Promise<void> {
  for (let tries = 0; tries < 240; tries += 1) {
    const status = JSON.parse(await stand.get('/v1/status')) as {
      readonly cut: number
      readonly views: readonly { readonly sealed: number }[]
    }
    if (status.views.every((view) => view.sealed === status.cut)) return
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  throw new Error('the tail was not sealed within a minute')
}

async function firstAnswer(stand: Stand, cut: number): Promise<string> {
  for (;;) {
    const answer = await stand
      .get(`/v1/views/user_stats?user_id=u0000001&after=${cut}&timeout=60000`)
      .catch(() => undefined)
    if (answer !== undefined) return answer
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
