/** The project and the commands of `docs/late-events.md`, in order, against a real server. */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { runCommand } from '../src/cli/cli-fixture.ts'
import { ServerProcess } from './support/server-process.ts'
import { read } from './support/source-files.ts'

const page = read('docs/late-events.md')

function blocks(mark: string): readonly string[] {
  const found = [...page.matchAll(new RegExp(`\`\`\`sh${mark}\\n([\\s\\S]*?)\`\`\``, 'g'))]
  return found.flatMap(([, text = '']) => text.trim().split('\n'))
}

describe('the guide to late events', () => {
  let server: ServerProcess
  before(async () => {
    const config = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
    server = await ServerProcess.create(config.replace(/\}\)\s*$/, '  server: { port: PORT },\n})'))
    await server.start()
  })
  after(() => server.dispose())

  async function refold(line: string) {
    const args = [...line.replace(/^npx refold /, '').matchAll(/"([^"]*)"|(\S+)/g)]
    const words = args.map(([, quoted, plain]) => quoted ?? plain ?? '')
    const ran = await runCommand([...words, '--url', server.url], { cwd: server.folder })
    assert.equal(ran.code, 0, `${line}\n${ran.err}`)
    return ran.out
  }

  async function send(...visits: readonly (readonly [id: string, person: string, ts: string])[]) {
    const { body } = await server.post(
      'visits',
      visits.map(([id, person, ts]) => JSON.stringify({ id, person, ts })),
    )
    return await server.get<{ at: string; rows: { day: string; people: number }[] }>(
      `/v1/views/active?after=${body.cut}`,
    )
  }

  test('its commands say what it says', async () => {
    await send(['1', 'ann', '2026-01-30T10:00:00Z'], ['2', 'bea', '2026-01-31T12:00:00Z'])
    const before = await send(
      ['3', 'cat', '2026-01-30T09:00:00Z'],
      ['4', 'dan', '2026-01-31T11:30:00Z'],
      ['5', 'eve', '2026-01-31T10:59:59Z'],
    )
    // Late are 1, by its own commit, 3 and 5; 4 lies within the hour.
    assert.deepEqual(before.rows, [{ day: '2026-01-31', people: 2 }])
    const [held = '', , all = '', lines = '', corrected = '', table = ''] = await inOrder(blocks(''))
    assert.match(held, /active holds late events back: 3 wait for the next batch/)
    assert.match(held, /1\.0 +2026-01-30T10:00:00\.000000Z +1\.0 d +2026-01-30 +waits for the next batch/)
    assert.match(all, /2\.0 .* batch 1 took it/)
    const events = lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(
      events.map(({ commit, index, state, lateMs, rows }) => [commit, index, state, lateMs, rows]),
      [
        [2, 0, 'batch', 26 * 3_600_000, [{ day: '2026-01-30' }]],
        [2, 2, 'batch', 1_000, [{ day: '2026-01-31' }]],
      ],
    )
    const now = JSON.parse(corrected) as { late: string; total: number; held: null }
    assert.deepEqual([now.late, now.total, now.held], ['correct', 3, null])
    assert.match(table, /active +batch +0 +2 +3\n/)
    assert.match(table, /active_now +corrected +0 +2 +3\n/)
    const why = await refold((blocks(' why')[0] ?? '').replace('TIME', before.at))
    assert.match(why, /3 late and 0 other new events/)
    assert.match(why, /the first report had those up to cut 0, the second those up to cut 2/)
  })

  async function inOrder(lines: readonly string[]): Promise<readonly string[]> {
    const out: string[] = []
    for (const line of lines) out.push(await refold(line))
    return out
  }
})
