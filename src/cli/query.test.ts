/** What `query`, `tail` and `status` ask for and how they show the answer; the server here only answers. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listenFake, type Reply, runCommand, type SeenRequest } from './cli-fixture.ts'

const answer = JSON.stringify({
  cut: 123,
  versions: { top: 'abcdef0123456789' },
  lagMs: 2.4,
  columns: [
    { name: 'user', type: 'VARCHAR' },
    { name: 'total', type: 'HUGEINT' },
  ],
  rows: [{ user: 'ada', total: 1 }],
  truncated: true,
}).replace('"total":1', '"total":170141183460469231731687303715884105727')

async function withFake<T>(
  reply: (request: SeenRequest) => Reply,
  run: (url: string, seen: readonly SeenRequest[]) => Promise<T>,
): Promise<T> {
  const fake = await listenFake(reply)
  try {
    return await run(fake.url, fake.seen)
  } finally {
    await fake.close()
  }
}

test('rows go to stdout, cut, version and lag to stderr', () =>
  withFake(
    () => ({ body: answer }),
    async (url, seen) => {
      const { code, out, err } = await runCommand([
        'query',
        'SELECT 1',
        '--url',
        url,
        '--limit',
        '1',
        '--after',
        '7',
      ])
      assert.equal(code, 0)
      assert.equal(
        out,
        'user                                    total\n────  ───────────────────────────────────────\nada   170141183460469231731687303715884105727\n',
      )
      assert.equal(err, '1 row, and there are more (--limit) · cut 123 · top abcdef012345 · lag 2 ms\n')
      assert.deepEqual(JSON.parse(seen[0]!.body), { sql: 'SELECT 1', limit: 1, after: 7 })
    },
  ))

test('the past is asked for by a moment, and stderr says which', () =>
  withFake(
    ({ path }) => ({
      body: path.startsWith('/v1/views')
        ? '{"view":"v","version":"abcdef0123456789","cut":4,"slices":{"files":2,"rows":3,"bytes":4096,"through":3},"events":12000,"bytes":5,"seconds":{"low":0.1,"likely":0.3,"high":2},"basis":"default"}'
        : answer.replace('"lagMs"', '"at":"2026-03-02T09:00:00.000000Z","lagMs"'),
    }),
    async (url, seen) => {
      const time = '2026-03-02T09:00:00Z'
      const then = await runCommand(['query', 'SELECT 1', '--url', url, '--as-reported-at', time])
      assert.match(then.err, / · as reported at 2026-03-02T09:00:00\.000000Z\n$/)
      const cut = await runCommand(['query', 'SELECT 1', '--url', url, '--as-of', '17'])
      assert.match(cut.err, / · as of 17\n$/)
      assert.deepEqual(
        seen.map(({ body }) => JSON.parse(body)),
        [
          { sql: 'SELECT 1', as_reported_at: time },
          { sql: 'SELECT 1', as_of: '17' },
        ],
      )
      const asked = [
        'query',
        '--view',
        'v',
        '--as-of',
        '4',
        '--version',
        'abcdef012345',
        '--cost',
        '--url',
        url,
      ]
      const cost = await runCommand(asked)
      assert.equal(
        cost.out,
        'cut 4, version abcdef012345\n2 slices up to cut 3, 4,096 bytes\n12,000 events to fold after them\nabout 0.3 s (0.1 to 2 s)\n',
      )
      assert.deepEqual(
        [...seen.at(-1)!.query],
        [
          ['as_of', '4'],
          ['version', 'abcdef012345'],
          ['explain', '1'],
        ],
      )
      const alone = await runCommand(['query', 'SELECT 1', '--version', 'abcdef012345', '--url', url])
      assert.equal(alone.code, 2)
    },
  ))

test('--json is the answer itself, --ndjson its rows', () =>
  withFake(
    () => ({ body: answer }),
    async (url) => {
      const whole = await runCommand(['query', '--json', '--url', url], { stdin: 'SELECT 1' })
      assert.deepEqual([whole.out, whole.err], [`${answer}\n`, ''])
      const rows = await runCommand(['query', '-', '--ndjson', '--url', url], { stdin: 'SELECT 1' })
      assert.equal(rows.out, '{"user":"ada","total":170141183460469231731687303715884105727}\n')
    },
  ))

test('a lookup names columns in a way that no parameter can be mistaken for', () =>
  withFake(
    () => ({ body: answer }),
    async (_url, seen) => {
      const args = [
        'query',
        '--view',
        'top ten',
        '--where',
        'limit=a=b',
        '--where',
        'x=1',
        '--order',
        '-total',
      ]
      await runCommand(args, { env: { REFOLD_URL: _url, REFOLD_TOKEN: 'secret' } })
      const [request] = seen
      assert.equal(request?.path, '/v1/views/top%20ten')
      assert.deepEqual(
        [...request.query],
        [
          ['order', '-total'],
          ['where.limit', 'a=b'],
          ['where.x', '1'],
        ],
      )
      assert.equal(request.headers.authorization, 'Bearer secret')
    },
  ))

test('what cannot be asked is told before anything is sent', () =>
  withFake(
    () => ({ body: answer }),
    async (url, seen) => {
      for (const args of [
        ['SELECT 1', '--view', 'v'],
        ['SELECT 1', '--where', 'a=1'],
        ['--view', 'v', '--where', 'a'],
        [],
      ]) {
        const { code } = await runCommand(['query', ...args, '--url', url])
        assert.equal(code, 2, args.join(' '))
      }
      assert.equal(seen.length, 0)
    },
  ))

test('an error of the server is shown with its hint and the place in the SQL', () =>
  withFake(
    () => ({
      status: 400,
      body: '{"error":{"code":"SQL_SYNTAX","message":"syntax error","hint":"Correct it.","retryable":false,"place":{"line":2,"column":3}}}',
    }),
    async (url) => {
      const { code, err } = await runCommand(['query', 'SELECT\n  frm', '--url', url])
      assert.equal(code, 1)
      assert.equal(
        err,
        'error syntax error SQL_SYNTAX\n  SQL:2:3\n  1 │ SELECT\n  2 │   frm\n    │   ^^^\n  hint Correct it.\n',
      )
    },
  ))

test('something else than Refold behind the URL is said to be so', () =>
  withFake(
    () => ({ status: 502, body: '<html>Bad gateway' }),
    async (url) => {
      const { code, err } = await runCommand(['status', '--url', url])
      assert.equal(code, 1)
      assert.match(err, /answered with status 502: <html>Bad gateway CLI_ANSWER/)
    },
  ))

const changes = [
  { from: 0, to: 4, version: 'v', op: 'insert', new: { user: 'ada', total: '1.50' } },
  {
    from: 4,
    to: 9,
    version: 'v',
    op: 'update',
    old: { user: 'ada', total: '1.50' },
    new: { user: 'ada', total: '2.00' },
  },
  { from: 4, to: 9, version: 'v', op: 'delete', old: { user: 'bob', total: null } },
]

test('changes are lines with a sign, and go on where they ended', () =>
  withFake(
    () => ({ body: changes.map((change) => `${JSON.stringify(change)}\n`).join('') }),
    async (url, seen) => {
      const { code, out, err } = await runCommand(['tail', 'top', '--from', '3', '--url', url])
      assert.equal(code, 0)
      assert.equal(out, '+ user=ada  total=1.50\n~ user=ada  total=1.50 → 2.00\n- user=bob  total=NULL\n')
      assert.match(err, /--from 9/)
      assert.deepEqual(
        [...seen[0]!.query],
        [
          ['from', '3'],
          ['follow', '1'],
        ],
      )
      const json = await runCommand(['tail', 'top', '--no-follow', '--json', '--url', url])
      assert.equal(json.out, changes.map((change) => `${JSON.stringify(change)}\n`).join(''))
      assert.deepEqual([...seen[1]!.query], [])
    },
  ))
