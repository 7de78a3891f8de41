// A tus server and an S3-compatible server over TLS: node main.mjs FOLDER CERTIFICATE KEY.
// Prints their ports as one line of JSON when both listen; ends with its standard input.
import fs from 'node:fs'
import https from 'node:https'
import path from 'node:path'
import {createRequire} from 'node:module'
import {FileStore} from '@tus/file-store'
import {MemoryLocker, Server} from '@tus/server'

const S3rver = createRequire(import.meta.url)('s3rver')
const [folder, certificate, key] = process.argv.slice(2)
const tls = {cert: fs.readFileSync(certificate), key: fs.readFileSync(key)}

const tus = new Server({
  path: '/files',
  relativeLocation: true,
  // A request that was cut may hold the lock of its upload for 30 s by default.
  locker: new MemoryLocker({acquireLockTimeout: 1000}),
  lockDrainTimeout: 500,
  datastore: new FileStore({directory: path.join(folder, 'tus')}),
})
const tusServer = https.createServer(tls, (request, response) => tus.handle(request, response))
await new Promise((resolve) => tusServer.listen(0, '127.0.0.1', resolve))

const s3 = new S3rver({
  address: '127.0.0.1',
  port: 0,
  silent: true,
  directory: path.join(folder, 's3'),
  configureBuckets: [{name: 'clips'}],
  ...tls,
})
const s3Address = await s3.run()

console.log(JSON.stringify({tus: tusServer.address().port, s3: s3Address.port}))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
