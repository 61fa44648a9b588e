/**
 * Deploys from the command line, against a server that `refold start` runs: plan, deploy, list, show, a red gate with its
 * exit code, accept, rollback. What is expected is counted by hand.
 */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runCommand } from '../../src/cli/cli-fixture.ts'
import type { DeployInfo } from '../../src/deploy/types.ts'
import { ServerProcess } from '../support/server-process.ts'

function config(sql: string, checks = ''): string {
  return `
import { check, project, stream, view } from 'refold'
import { z } from 'zod'
const clicks = stream('clicks', { schema: z.object({ user: z.string() }), key: 'user' })
export default project({
  streams: [clicks],
  views: [view('users', { sql: \`${sql}\` })],
  ${checks}
  server: { port: PORT },
})
`
}

const plain = 'SELECT user, count(*) AS n FROM clicks GROUP BY user'
const doubled = 'SELECT user, count(*) * 2 AS n FROM clicks GROUP BY user'
const lost = "SELECT user, count(*) AS n FROM clicks WHERE user <> 'b' GROUP BY user"
const both = "checks: [check('both_users', { sql: 'SELECT 1 WHERE (SELECT count(*) FROM users) <> 2' })],"

describe('deploys from the command line', () => {
  let server: ServerProcess
  const run = (...args: string[]) => runCommand([...args, '--url', server.url], { cwd: server.folder })
  const save = (text: string) =>
    writeFileSync(join(server.folder, 'refold.config.ts'), text.replaceAll('PORT', new URL(server.url).port))
  const users = async () => {
    const { rows } = await server.get<{ rows: { user: string; n: number }[] }>(
      '/v1/views/users?order=user&after=1',
    )
    return rows.map(({ user, n }) => `${user}${n}`)
  }
  before(async () => {
    server = await ServerProcess.create(config(plain))
    const git = (...args: string[]) => execFileSync('git', args, { cwd: server.folder })
    git('init', '-q')
    git('add', 'refold.config.ts')
    git('-c', 'user.name=t', '-c', 'user.email=t@example.org', 'commit', '-q', '-m', 'first')
    await server.start()
    await server.post('clicks', ['{"user":"a"}', '{"user":"b"}', '{"user":"a"}'])
  })
  after(() => server.dispose())

  test('a changed file is deployed, with who and from where', async () => {
    assert.deepEqual(await users(), ['a2', 'b1'])
    save(config(doubled))
    const { code, out, err } = await run('deploy', '--json')
    assert.equal(code, 0, err)
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { plan?: unknown } & DeployInfo)
    assert.ok(lines[0]?.plan !== undefined)
    assert.equal(lines.at(-1)?.state, 'live')
    assert.match(lines.at(-1)?.author.source ?? '', /^[0-9a-f]{40}\+changes$/)
    assert.deepEqual(await users(), ['a4', 'b2'])
    const list = await run('deploys')
    assert.match(list.out, /1 +live +refold start/)
    assert.match(list.out, /2 +live .* users/)
    const show = await run('deploys', 'show')
    assert.match(
      show.out,
      /deploy 2 {2}live {2}by .*\n(.*\n)*~ view users .* live\n {4}0 rows equal, 2 changed/,
    )
    assert.match(show.err, /^$/)
  })

  test('the same file again changes nothing', async () => {
    const { code, err } = await run('deploy')
    assert.equal(code, 0)
    assert.match(err, /Nothing to do/)
    assert.doesNotMatch((await run('deploys')).out, /^3 /m)
  })

  test('a red gate has an exit code of its own, and waits for a word', async () => {
    save(config(lost, both))
    const refused = await run('deploy', '--warm', '1h')
    assert.equal(refused.code, 6, refused.err)
    assert.match(refused.err, /refused at the gate: check "both_users" is red/)
    assert.deepEqual(await users(), ['a4', 'b2'])
    const second = await run('deploy')
    assert.equal(second.code, 1)
    assert.match(second.err, /deploy \d+ by \S+ is refused.*DEPLOY_OPEN/s)
    const missing = await run('deploys', 'accept')
    assert.equal(missing.code, 2)
    assert.equal((await run('deploys', 'accept', '--reason', 'b left')).code, 0)
    assert.equal((await run('deploys', 'watch')).code, 0)
    assert.deepEqual(await users(), ['a2'])
  })

  test('a rollback is at once, for all views or by name, and needs a reason', async () => {
    assert.equal((await run('rollback')).code, 2)
    const { code, out, err } = await run('rollback', 'users', '--reason', 'b is back')
    assert.equal(code, 0, err)
    assert.match(out, /view users answers from version [0-9a-f]{12}/)
    assert.deepEqual(await users(), ['a4', 'b2'])
    const shown = JSON.parse((await run('deploys', 'show', '--json')).out) as DeployInfo
    assert.deepEqual([shown.state, shown.reason], ['rolled_back', 'b is back'])
    const status = await run('status')
    assert.equal(status.code, 0)
    const sql = 'SELECT deploy, state, who, reason FROM refold.deploys ORDER BY deploy DESC LIMIT 1'
    const { rows } = JSON.parse((await run('query', sql, '--json')).out) as { rows: unknown[] }
    assert.deepEqual(rows, [{ deploy: 3, state: 'rolled_back', who: shown.author.who, reason: 'b is back' }])
    const unknown = await run('deploys', 'show', '99')
    assert.deepEqual([unknown.code, /DEPLOY_UNKNOWN/.test(unknown.err)], [1, true])
  })

  test('what cannot be is said: mistyped options, states that do not allow it, bodies that are none', async () => {
    for (const wrong of [
      ['--from', 'cut'],
      ['--from', 'offset:1'],
      ['--budget-cpu', '2'],
      ['--warm', 'long'],
    ]) {
      assert.equal((await run('deploy', ...wrong)).code, 2, wrong.join(' '))
    }
    const paused = await run('deploys', 'pause')
    assert.deepEqual([paused.code, /DEPLOY_STATE/.test(paused.err)], [1, true])
    const late = await run('deploy', '--from', 'cut:1000000', '--yes')
    assert.match(late.err, /the log ends at cut \d+.*DEPLOY_START/s)
    const refused = async (path: string, body: unknown) => {
      const answer = await fetch(server.url + path, { method: 'POST', body: JSON.stringify(body) })
      return ((await answer.json()) as { error: { code: string; message: string } }).error
    }
    assert.match((await refused('/v1/rollback', {})).message, /"reason" is not a text/)
    assert.match((await refused('/v1/rollback', { reason: 'x', veiws: [] })).message, /"veiws" is unknown/)
    assert.equal((await refused('/v1/deploys/x/cancel', {})).code, 'DEPLOY_UNKNOWN')
    assert.equal((await refused('/v1/deploys', { project: { views: 7 } })).code, 'PROJECT_RECEIVED')
  })

  test('a deploy that is detached is followed, paused and resumed from elsewhere', async () => {
    save(config('SELECT user, count(*) * 5 AS n FROM clicks GROUP BY user'))
    const detached = await run('deploy', '--detach')
    assert.match(detached.err, /deploy \d+ is under way/)
    assert.equal((await run('deploys', 'watch')).code, 0)
    assert.deepEqual(await users(), ['a10', 'b5'])
  })
})
