/**
 * Dead letters of both kinds, on the project and with the commands of `docs/dead-letters.md`: the real server as a
 * process and the real CLI. What is expected is counted by hand from what was sent.
 */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { DeadCause, DeadLetterDetail, DeadLetterInfo } from '../src/serve/core-dead.ts'
import { mendedText } from '../src/server/dead/mended-text.ts'
import { ServerProcess, type ViewAnswer } from './support/server-process.ts'
import { read } from './support/source-files.ts'

const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const guide = read('docs/dead-letters.md')

let server: ServerProcess

before(async () => {
  const config = (/```ts\n([\s\S]*?)```/.exec(guide)?.[1] ?? '').replace(
    /\}\)\s*$/,
    ', server: { port: PORT } })',
  )
  server = await ServerProcess.create(config)
  await server.start()
  // Commit 1: accepted; its second event fails in per_parcel (2 parcels are 200 points, more than a TINYINT has).
  await post([order('o1', 'ann', '10.00'), order('o2', 'ann', '5.00', 2)])
  // Commit 2: two events are refused, one is accepted.
  await post([
    '{"order_id":"o3","user_id":"bob","amount":"twelve","parcels":12345678901234567890}',
    '{"order_id":"o4","user_id":"bob"',
    order('o5', 'bob', '1.00'),
  ])
  await server.get('/v1/views/totals?after=2')
})
after(() => server.dispose())

function order(id: string, user: string, amount: string, parcels = 1): string {
  return JSON.stringify({ order_id: id, user_id: user, amount, parcels })
}

async function post(lines: readonly string[]): Promise<void> {
  const { status } = await server.post('orders', lines)
  assert.ok(status === 200 || status === 207 || status === 422, String(status))
}

interface Ran {
  readonly code: number
  readonly out: string
  readonly talk: string
}

/** Runs a command line of the guide, or another one. */
function refold(...args: string[]): Promise<Ran> {
  const env = { ...process.env, REFOLD_URL: server.url }
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env, cwd: server.folder }, (error, out, talk) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, talk })
    })
  })
}

async function orders(view: string): Promise<Readonly<Record<string, unknown>>> {
  const { rows } = await server.get<ViewAnswer>(`/v1/views/${view}`)
  return Object.fromEntries(rows.map(({ user_id: user, orders: count }) => [String(user), count]))
}

describe('looking', () => {
  test('causes: refused ones by code and place, skipped ones by view, each with an example', async () => {
    const { causes } = await server.get<{ causes: DeadCause[] }>('/v1/dead')
    const told = causes.map(({ kind, code, place, count, open, view, example }) => ({
      ...{ kind, code, place, count, open, view, input: example.input },
    }))
    assert.deepEqual(
      told.sort((a, b) => (a.code < b.code ? -1 : 1)),
      [
        {
          ...{
            kind: 'rejected',
            code: 'EVENT_FIELD_FORMAT',
            place: '/amount',
            count: 1,
            open: 1,
            view: undefined,
          },
          input: '{"order_id":"o3","user_id":"bob","amount":"twelve","parcels":12345678901234567890}',
        },
        {
          ...{ kind: 'rejected', code: 'EVENT_NOT_JSON', place: '', count: 1, open: 1, view: undefined },
          input: '{"order_id":"o4","user_id":"bob"',
        },
        {
          ...{ kind: 'skipped', code: 'EVENT_SKIPPED', place: '', count: 1, open: 1, view: 'per_parcel' },
          input: order('o2', 'ann', '5', 2),
        },
      ],
    )
    const { code, out } = await refold('dead')
    assert.equal(code, 0)
    assert.match(out, /1 × EVENT_FIELD_FORMAT in stream orders at \/amount/)
    assert.match(out, /1 × EVENT_SKIPPED left out by view per_parcel/)
  })

  test('the list has ids in the form that the guide says, and filters choose', async () => {
    const ids = async (query: string) => {
      const { letters } = await server.get<{ letters: DeadLetterInfo[] }>(`/v1/dead/letters?${query}`)
      return letters.map(({ id }) => id.replace(/@[0-9a-f]{12}$/, '@V')).sort()
    }
    assert.deepEqual(await ids(''), ['1.1/per_parcel@V', '2.0', '2.1'])
    assert.deepEqual(await ids('kind=skipped'), ['1.1/per_parcel@V'])
    assert.deepEqual(await ids('code=EVENT_NOT_JSON'), ['2.1'])
    assert.deepEqual(await ids('stream=orders&state=dropped'), [])
    const shown = await refold('dead', 'show', '2.0', '--json')
    const letter = JSON.parse(shown.out) as DeadLetterDetail
    assert.equal(letter.code, 'EVENT_FIELD_FORMAT')
    assert.deepEqual(letter.acts, [])
  })

  test('what does not exist is an error that says so', async () => {
    const { code, talk } = await refold('dead', 'show', '99.0')
    assert.equal(code, 1)
    assert.match(talk, /DEAD_LETTER_UNKNOWN/)
    assert.equal((await refold('dead', 'bury', '2.0')).code, 2)
    assert.equal((await refold('dead', 'send')).code, 2)
    const answer = await fetch(`${server.url}/v1/dead?kind=gone`)
    assert.equal(answer.status, 400)
  })
})

describe('sending again', () => {
  test('a dry run says what would become of the copy, and sends nothing', async () => {
    const bad = await refold('dead', 'send', '2.0', '--set', '/amount="12.50"', '--dry-run')
    assert.equal(bad.code, 3, 'the number of parcels is still too great')
    assert.match(bad.out, /2\.0 {2}rejected: .*parcels/)
    const good = await refold(
      'dead',
      'send',
      '2.0',
      '--set',
      '/amount="12.50"',
      '--set',
      '/parcels=1',
      '--dry-run',
    )
    assert.equal(good.code, 0, good.talk)
    assert.match(good.out, /would be accepted/)
    assert.match(good.out, /"amount":"12\.5"/)
    assert.deepEqual(await orders('totals'), { ann: 2, bob: 1 })
  })

  test('a mended copy is an event, sent twice it is a duplicate, and the letter is no longer open', async () => {
    const mend = ['dead', 'send', '2.0', '--set', '/amount="12.50"', '--set', '/parcels=1', '--json']
    const sent = JSON.parse((await refold(...mend)).out) as { cut: number; results: { outcome: string }[] }
    assert.deepEqual(
      sent.results.map(({ outcome }) => outcome),
      ['accepted'],
    )
    await server.get(`/v1/views/totals?after=${sent.cut}`)
    assert.deepEqual(await orders('totals'), { ann: 2, bob: 2 })
    const again = JSON.parse((await refold(...mend)).out) as { results: { outcome: string }[] }
    assert.equal(again.results[0]?.outcome, 'duplicate')
    assert.deepEqual(await orders('totals'), { ann: 2, bob: 2 })
    const { out } = await refold('dead', 'show', '2.0', '--json')
    const letter = JSON.parse(out) as DeadLetterDetail
    assert.equal(letter.state, 'sent')
    assert.deepEqual(
      letter.acts.map(({ what, outcome }) => [what, outcome]),
      [
        ['sent', 'accepted'],
        ['sent', 'duplicate'],
      ],
    )
    assert.equal((await refold('dead', 'list')).out.includes('2.0 '), false)
  })

  test('a text that is no JSON is sent as a whole mended event', async () => {
    writeFileSync(join(server.folder, 'mended.json'), `${order('o4', 'bob', '3.00')}\n`)
    const { code, out, talk } = await refold('dead', 'send', '2.1', '--event', 'mended.json')
    assert.equal(code, 0, talk)
    assert.match(out, /1 accepted, 0 duplicate, 0 rejected/)
  })

  test('a copy of a skipped event is refused while other views have folded it, unless it is forced', async () => {
    const { letters } = await server.get<{ letters: DeadLetterInfo[] }>('/v1/dead/letters?kind=skipped')
    const id = letters[0]?.id ?? ''
    const mend = ['dead', 'send', id, '--set', '/order_id="o2b"', '--set', '/parcels=1']
    const refused = await refold(...mend)
    assert.equal(refused.code, 1)
    assert.match(refused.talk, /DEAD_LETTER_FOLDED/)
    assert.match(refused.talk, /totals folded it/)
    const forced = await refold(...mend, '--force', '--json')
    const { cut } = JSON.parse(forced.out) as { cut: number }
    await server.get(`/v1/views/per_parcel?after=${cut}`)
    assert.equal((await orders('per_parcel'))['ann'], 2)
    assert.equal((await orders('totals'))['ann'], 3)
  })

  test('a letter that is dropped is recorded with the reason, and everything is in the audit', async () => {
    await post(['{"order_id":"o9"}'])
    const { letters } = await server.get<{ letters: DeadLetterInfo[] }>('/v1/dead/letters?state=open')
    assert.deepEqual(
      letters.map(({ code }) => code),
      ['EVENT_FIELD_MISSING'],
    )
    const id = letters[0]?.id ?? ''
    assert.equal((await refold('dead', 'drop', id)).code, 2, 'a reason is wanted')
    assert.equal((await refold('dead', 'drop', id, '--reason', 'a test')).code, 0)
    const { out } = await refold('dead', 'show', id, '--json')
    assert.equal((JSON.parse(out) as DeadLetterDetail).state, 'dropped')
    const audit = await refold('query', `SELECT what FROM refold.audit WHERE what LIKE 'dead%'`, '--json')
    assert.equal(audit.out.match(/dead letters sent/g)?.length, 4)
    assert.equal(audit.out.match(/dead letters dropped/g)?.length, 1)
  })

  test('ids and states are the same after a restart', async () => {
    const before = await server.get<{ letters: DeadLetterInfo[] }>('/v1/dead/letters')
    await server.kill()
    await server.start()
    const after = await server.get<{ letters: DeadLetterInfo[] }>('/v1/dead/letters')
    assert.deepEqual(after, before)
    assert.equal(after.letters.length, 4)
  })
})

describe('mended texts', () => {
  test('digits that are not touched stay as they were written', () => {
    const text = '{"a":12345678901234567890,"b":1.10,"c":[1e2,{"d":0.30}],"e":"x"}'
    assert.equal(
      mendedText(text, { '/e': '"y"', '/c/1/d': '0.40' }),
      '{"a":12345678901234567890,"b":1.10,"c":[1e2,{"d":0.40}],"e":"y"}',
    )
    assert.equal(mendedText('{"a/b":{"~":1}}', { '/a~1b/~0': 'null' }), '{"a/b":{"~":null}}')
    assert.equal(mendedText('{}', { '/new': '[1]' }), '{"new":[1]}')
  })

  test('a pointer that leads nowhere, and values that are no JSON, are told', () => {
    for (const [pointer, value] of [
      ['/a/b', '1'],
      ['a', '1'],
      ['/list/7', '1'],
      ['/a', 'twelve'],
    ] as const) {
      assert.throws(
        () => mendedText('{"a":1,"list":[1]}', { [pointer]: value }),
        /REQUEST_PARAMETER|leads nowhere|not JSON/,
      )
    }
  })
})
