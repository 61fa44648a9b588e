/** A function in TypeScript that both definitions of a view call: in the worker, in ticks and in reads of the past. */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { SensorServer } from '../support/sensor-server.ts'
import type { Row } from '../support/shop-server.ts'

let sensors: SensorServer
beforeEach(() => {
  sensors = new SensorServer()
})
afterEach(() => sensors.dispose())

test('a function of the project is called by both definitions', async () => {
  sensors.write({
    'logic/double.ts': `import { fn } from 'refold'
export const double = fn('double_heat', { args: ['DOUBLE'], returns: 'DOUBLE', call: (heat) => heat * 2 })
`,
    'refold.config.ts': `import { lambda, project, view } from 'refold'
import { readings } from './readings.ts'
import { double } from './logic/double.ts'
export default project({
  streams: [readings],
  functions: [double],
  views: [view('heats', {
    batch: 'SELECT sensor, quantile_cont(double_heat(heat), 0.5) AS middle FROM readings GROUP BY sensor',
    speed: 'SELECT sensor, max(double_heat(heat)) AS middle FROM readings GROUP BY sensor',
    key: ['sensor'], merge: { middle: 'replace' }, approximate: ['middle'],
    run: lambda({ every: '1d' }),
  })],
})
`,
  })
  await sensors.open()
  const heats = (list: readonly number[]) => list.map((heat, second) => ({ sensor: 's', second, heat }))
  let cut = await sensors.send(heats([1, 2, 9]))
  assert.deepEqual(await sensors.rows('heats', cut), [{ sensor: 's', middle: 18 }])
  const batch = await sensors.server.core.batches.run('heats', { wait: true })
  assert.deepEqual([batch.state, batch.reason], ['published', null])
  assert.deepEqual(await sensors.rows('heats', cut), [{ sensor: 's', middle: 4 }])
  cut = await sensors.send(heats([50]))
  assert.deepEqual(await sensors.rows('heats', cut), [{ sensor: 's', middle: 100 }])
  const read = { view: 'heats', where: {}, order: [], limit: 10 }
  const past = await sensors.server.core.readView(read, { moment: { kind: 'cut', cut } })
  assert.deepEqual(JSON.parse(past.json) as Row[], [{ sensor: 's', middle: 100 }])
})
