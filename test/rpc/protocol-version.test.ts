import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';
import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { PROTOCOL_VERSION, type AgentRequest, type AgentResponse } from '../../shared/domain/wire.ts';
import { connectAgent } from '../../shared/rpc/agent-client.ts';
import { serveAgents, type ServerStream } from '../../shared/rpc/agent-server.ts';
import { initializePki, issueAgentCertificates } from '../../shared/rpc/pki.ts';
import { freePort } from '../lab/ports.ts';
import { startAgent, stillpoint, type Daemon } from '../lab/processes.ts';
import { temporaryFolder } from '../lab/temporary.ts';
import { madeRepository } from '../repository/made.ts';

// Goal: programs of different versions do not misread each other, and an operator can ask a running agent
// what it speaks, but nobody without a certificate can.
// Method: a real agent, without members, and the real command; only the agent of the future is played.

const HOST = '127.0.21.1';
const SERVICE = 'stillpoint.agent.v1.AgentService';

describe('an agent and a coordinator of different versions', () => {
  const folder = temporaryFolder('version');
  const pki = join(folder.path, 'pki');
  const tls = filesOf('coordinator');
  let address: string;
  let agent: Daemon;

  before(async () => {
    await (await madeRepository(join(folder.path, 'repository'))).close();
    await initializePki(pki);
    await issueAgentCertificates(pki, [HOST]);
    address = `${HOST}:${await freePort(HOST)}`;
    const { ca, cert, key } = filesOf(HOST);
    const configuration = join(folder.path, 'agent.yaml');
    writeFileSync(
      configuration,
      [
        'grid: orders',
        `listen: ${address}`,
        `tls: { ca: ${ca}, cert: ${cert}, key: ${key} }`,
        `state: ${folder.path}/state`,
        `repository: ${folder.path}/repository`,
        'members: []',
        '',
      ].join('\n'),
    );
    const log = join(folder.path, 'agent.log');
    writeFileSync(log, '');
    agent = await startAgent(configuration, log);
  });

  after(async () => {
    agent?.signal('SIGTERM');
    await agent?.gone;
    folder.remove();
  });

  function filesOf(name: string): { ca: string; cert: string; key: string } {
    return {
      ca: join(pki, 'ca.pem'),
      cert: join(pki, `${name}.pem`),
      key: join(pki, `${name}-key.pem`),
    };
  }

  function gridFile(agents: string): string {
    const path = join(folder.path, 'grid.yaml');
    writeFileSync(
      path,
      `grid: orders\nagents: ["${agents}"]\nrepository: repository\ntls: { ca: ${tls.ca}, cert: ${tls.cert}, key: ${tls.key} }\n`,
    );
    return path;
  }

  /** All that the agent answers to this first request, until it ends the stream; or the first, if it does not. */
  async function answersTo(request: AgentRequest): Promise<AgentResponse[]> {
    const stream = await connectAgent({ address, tls, timeoutMs: 5000 });
    const answers: AgentResponse[] = [];
    stream.send(request);
    for await (const response of stream.responses) {
      answers.push(response);
      if (response.type === 'welcome') break;
    }
    stream.close();
    return answers;
  }

  function hello(protocolVersion: number): AgentRequest {
    return { type: 'hello', protocolVersion, grid: 'orders', holder: 'test' };
  }

  for (const theirs of [PROTOCOL_VERSION + 1, PROTOCOL_VERSION - 1]) {
    it(`the agent refuses a coordinator of version ${theirs}, names both versions and ends the stream`, async () => {
      expect(await answersTo(hello(theirs))).to.deep.equal([
        {
          type: 'rejected',
          failure: {
            code: 'protocol-version',
            message: `the agent on ${HOST} speaks protocol version ${PROTOCOL_VERSION}, the coordinator version ${theirs}`,
            hint: 'install the same version of stillpoint on every host',
            host: HOST,
          },
        },
      ]);
    });
  }

  it('the agent hears nobody who does not say a version first, and goes on to serve its own', async () => {
    const [refused, ...others] = await answersTo({
      type: 'claim',
      id: 1,
      operation: 'x',
      purpose: 'checkpoint',
      leaseMs: 60_000,
    });
    expect(refused)
      .to.deep.include({ type: 'rejected' })
      .and.to.have.nested.property('failure.code', 'bad-message');
    expect(others).to.deep.equal([]);
    const [welcome] = await answersTo(hello(PROTOCOL_VERSION));
    expect(welcome).to.include({ type: 'welcome', protocolVersion: PROTOCOL_VERSION, host: HOST });
    const status = await stillpoint(['grid', 'status', '--grid', gridFile(address)]);
    expect(status.code, status.stderr).to.equal(0);
  });

  it('the command is refused by an agent of another version: exit 3, with both versions', async () => {
    const heard: AgentRequest[] = [];
    const message = `the agent on ${HOST} speaks protocol version 7, the coordinator version ${PROTOCOL_VERSION}`;
    const future = await serveAgents({
      listen: `${HOST}:0`,
      tls: filesOf(HOST),
      onStream: (stream) =>
        void rejectAll(stream, heard, {
          code: 'protocol-version',
          message,
          hint: 'the same version',
          host: HOST,
        }),
    });
    try {
      const args = ['checkpoint', 'create', 'x', '--output', 'json', '--quiet'];
      const refused = await stillpoint([...args, '--grid', gridFile(`${HOST}:${future.port}`)]);
      expect(refused.code).to.equal(3);
      expect(refused.json).to.have.deep.nested.include({
        'error.code': 'protocol-version',
        'error.message': message,
        'error.host': HOST,
        'error.phase': 'preflight',
      });
      expect(heard.map(({ type }) => type)).to.deep.equal(['hello']);
      expect(heard[0]).to.include({ protocolVersion: PROTOCOL_VERSION });
    } finally {
      await future.close();
    }
  });

  describe('asked what it speaks', () => {
    const read = (path: string): Buffer => readFileSync(path);
    const withCertificate = (name: string): grpc.ChannelCredentials =>
      grpc.credentials.createSsl(read(tls.ca), read(filesOf(name).key), read(filesOf(name).cert), {
        checkServerIdentity: () => undefined,
      });

    it('lists its service, with the methods of it', async () => {
      const [services, description] = await reflect(address, withCertificate('coordinator'), [
        { listServices: '' },
        { fileContainingSymbol: SERVICE },
      ]);
      expect(services?.listServicesResponse?.service.map(({ name }) => name)).to.include(SERVICE);
      const files = (description?.fileDescriptorResponse?.fileDescriptorProto ?? []).map((bytes) =>
        fromBinary(FileDescriptorProtoSchema, bytes),
      );
      const methods = files
        .filter((file) => file.package === 'stillpoint.agent.v1')
        .flatMap((file) => file.service)
        .flatMap((service) => service.method.map((method) => `${service.name}.${method.name}`));
      expect(methods).to.deep.equal(['AgentService.Operate']);
    });

    it('says nothing to who has no certificate, to one of another CA, and without TLS', async () => {
      const foreign = join(folder.path, 'foreign');
      await initializePki(foreign);
      const strangers = {
        'without a certificate': grpc.credentials.createSsl(read(tls.ca), null, null, {
          checkServerIdentity: () => undefined,
        }),
        'of another CA': grpc.credentials.createSsl(
          read(tls.ca),
          read(join(foreign, 'coordinator-key.pem')),
          read(join(foreign, 'coordinator.pem')),
          { checkServerIdentity: () => undefined },
        ),
        'without TLS': grpc.credentials.createInsecure(),
      };
      for (const [who, credentials] of Object.entries(strangers)) {
        const answer = await reflect(address, credentials, [{ listServices: '' }]).then(
          () => 'answered',
          (error: grpc.ServiceError) => grpc.status[error.code],
        );
        expect(`${who}: ${answer}`).to.equal(`${who}: UNAVAILABLE`);
      }
    });
  });
});

async function rejectAll(
  stream: ServerStream,
  heard: AgentRequest[],
  failure: Extract<AgentResponse, { type: 'rejected' }>['failure'],
): Promise<void> {
  for await (const request of stream.requests) {
    heard.push(request);
    stream.send({ type: 'rejected', failure });
    stream.close();
  }
}

interface Reflected {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Uint8Array[] };
}

/** Asks with the public protocol of server reflection, as grpcurl does. */
async function reflect(
  address: string,
  credentials: grpc.ChannelCredentials,
  questions: readonly object[],
): Promise<Reflected[]> {
  const proto = join(
    dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json')),
    'build/proto/grpc/reflection/v1/reflection.proto',
  );
  const name = 'grpc.reflection.v1.ServerReflection';
  const definition = protoLoader.loadSync(proto)[name] as grpc.ServiceDefinition;
  const Client = grpc.makeGenericClientConstructor(definition, name);
  const client = new Client(address, credentials, { 'grpc.ssl_target_name_override': 'stillpoint-agent' });
  try {
    const ask = client['ServerReflectionInfo'] as (
      options: grpc.CallOptions,
    ) => grpc.ClientDuplexStream<object, Reflected>;
    const call = ask.call(client, { deadline: Date.now() + 10_000 });
    for (const question of questions) call.write(question);
    call.end();
    const answers: Reflected[] = [];
    for await (const answer of call) answers.push(answer as Reflected);
    return answers;
  } finally {
    client.close();
  }
}
