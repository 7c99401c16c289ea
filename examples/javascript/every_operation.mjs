// Every operation, with the AWS SDK for JavaScript v3; PutMedia, which it does not have, with `earwitness stream`.
// npm install, then run with `earwitness` on the PATH and the variables of every_operation.py set.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as pipelinesSdk from "@aws-sdk/client-chime-sdk-media-pipelines";
import * as voiceSdk from "@aws-sdk/client-chime-sdk-voice";
import * as kinesisSdk from "@aws-sdk/client-kinesis-video";
import * as archiveSdk from "@aws-sdk/client-kinesis-video-archived-media";
import * as mediaSdk from "@aws-sdk/client-kinesis-video-media";

// No stack when the service is away, a key is wrong or a call has too little speech: a sentence, and exit code 1.
process.on("uncaughtException", (error) => {
  const broken = error instanceof assert.AssertionError || error instanceof TypeError;
  console.error(broken ? error : `${error.name}: ${error.message}`);
  process.exit(1);
});

const pipelines = caller("chime-sdk-media-pipelines", pipelinesSdk, new pipelinesSdk.ChimeSDKMediaPipelinesClient());
const voice = caller("chime-sdk-voice", voiceSdk, new voiceSdk.ChimeSDKVoiceClient());
const kinesis = caller("kinesisvideo", kinesisSdk, new kinesisSdk.KinesisVideoClient());
const name = `every-operation-${process.pid}-${Date.now()}`;

function caller(service, sdk, client) {
  return async (operation, input) => {
    const answer = await client.send(new sdk[`${operation}Command`](input));
    console.log("ok", service, operation);
    return answer;
  };
}

const { StreamARN } = await kinesis("CreateStream", { StreamName: name, DataRetentionInHours: 1 });
let { StreamInfo } = await kinesis("DescribeStream", { StreamName: name });
assert.equal(StreamInfo.Status, "ACTIVE");
await kinesis("UpdateStream", { StreamARN, CurrentVersion: StreamInfo.Version, MediaType: "audio/L16" });
({ StreamInfo } = await kinesis("DescribeStream", { StreamARN }));
await kinesis("UpdateDataRetention", {
  StreamARN,
  CurrentVersion: StreamInfo.Version,
  Operation: "INCREASE_DATA_RETENTION",
  DataRetentionChangeInHours: 1,
});
await kinesis("ListStreams", { MaxResults: 10 });
await kinesis("TagStream", { StreamARN, Tags: { site: "berlin" } });
assert.deepEqual((await kinesis("ListTagsForStream", { StreamARN })).Tags, { site: "berlin" });
await kinesis("UntagStream", { StreamARN, TagKeyList: ["site"] });
assert.match((await kinesis("GetDataEndpoint", { StreamARN, APIName: "PUT_MEDIA" })).DataEndpoint, /^http/);
for (const setting of ["ImageGeneration", "Notification", "MappedResource", "StreamStorage"]) {
  await kinesis(`Describe${setting}Configuration`, { StreamARN });
}
await kinesis("UpdateImageGenerationConfiguration", { StreamARN });
await kinesis("UpdateNotificationConfiguration", { StreamARN });
await kinesis("DescribeMediaStorageConfiguration", { ChannelName: name });
await kinesis("TagResource", { ResourceARN: StreamARN, Tags: [{ Key: "line", Value: "1" }] });
assert.deepEqual((await kinesis("ListTagsForResource", { ResourceARN: StreamARN })).Tags, { line: "1" });
await kinesis("UntagResource", { ResourceARN: StreamARN, TagKeyList: ["line"] });

const { VoiceProfileDomain } = await voice("CreateVoiceProfileDomain", {
  Name: name,
  ServerSideEncryptionConfiguration: { KmsKeyArn: "arn:aws:kms:us-east-1:000000000000:key/1" },
});
const { VoiceProfileDomainId, VoiceProfileDomainArn } = VoiceProfileDomain;
assert.ok(VoiceProfileDomain.CreatedTimestamp instanceof Date);
await voice("GetVoiceProfileDomain", { VoiceProfileDomainId });
await voice("UpdateVoiceProfileDomain", { VoiceProfileDomainId, Description: "hotline" });
await voice("ListVoiceProfileDomains", {});
await voice("TagResource", { ResourceARN: VoiceProfileDomainArn, Tags: [{ Key: "team", Value: "fraud" }] });
const { Tags } = await voice("ListTagsForResource", { ResourceARN: VoiceProfileDomainArn });
assert.deepEqual(Tags, [{ Key: "team", Value: "fraud" }]);
await voice("UntagResource", { ResourceARN: VoiceProfileDomainArn, TagKeys: ["team"] });

const role = "arn:aws:iam::000000000000:role/earwitness";
const Elements = [
  { Type: "VoiceAnalyticsProcessor", VoiceAnalyticsProcessorConfiguration: { SpeakerSearchStatus: "Enabled" } },
];
const { MediaInsightsPipelineConfiguration } = await pipelines("CreateMediaInsightsPipelineConfiguration", {
  MediaInsightsPipelineConfigurationName: name,
  ResourceAccessRoleArn: role,
  Elements,
});
const configuration = MediaInsightsPipelineConfiguration.MediaInsightsPipelineConfigurationArn;
await pipelines("GetMediaInsightsPipelineConfiguration", { Identifier: configuration });
await pipelines("UpdateMediaInsightsPipelineConfiguration", { Identifier: name, ResourceAccessRoleArn: role, Elements });
await pipelines("ListMediaInsightsPipelineConfigurations", {});
const { MediaInsightsPipeline } = await pipelines("CreateMediaInsightsPipeline", {
  MediaInsightsPipelineConfigurationArn: configuration,
  KinesisVideoStreamSourceRuntimeConfiguration: {
    MediaEncoding: "pcm",
    MediaSampleRate: 8000,
    Streams: [
      {
        StreamArn: StreamARN,
        StreamChannelDefinition: { NumberOfChannels: 1, ChannelDefinitions: [{ ChannelId: 0 }] },
      },
    ],
  },
});
const { MediaPipelineId, MediaPipelineArn } = MediaInsightsPipeline;
await pipelines("GetMediaPipeline", { MediaPipelineId });
await pipelines("ListMediaPipelines", {});
await pipelines("TagResource", { ResourceARN: MediaPipelineArn, Tags: [{ Key: "call", Value: "1" }] });
await pipelines("ListTagsForResource", { ResourceARN: MediaPipelineArn });
await pipelines("UntagResource", { ResourceARN: MediaPipelineArn, TagKeys: ["call"] });

async function startTask() {
  const input = { Identifier: MediaPipelineArn, VoiceProfileDomainArn };
  return (await pipelines("StartSpeakerSearchTask", input)).SpeakerSearchTask.SpeakerSearchTaskId;
}

async function waitUntilStopped(SpeakerSearchTaskId) {
  for (let tries = 0; tries < 600; tries++) {
    const input = { Identifier: MediaPipelineId, SpeakerSearchTaskId };
    const { SpeakerSearchTask } = await pipelines("GetSpeakerSearchTask", input);
    if (SpeakerSearchTask.SpeakerSearchTaskStatus === "Stopped") return;
    await sleep(100);
  }
  assert.fail("the task did not stop within a minute");
}

function send(recording) {
  const file = fileURLToPath(new URL(`../../src/earwitness/samples/${recording}`, import.meta.url));
  execFileSync("earwitness", ["stream", file, "--stream", name, "--fast"]);
  console.log("ok kinesis-video-media PutMedia");
}

// A call is heard: the task stops by itself when it has a voiceprint. The caller consents, and is enrolled.
let task = await startTask();
send("first-calls/kal.flac");
await waitUntilStopped(task);
const { VoiceProfile } = await voice("CreateVoiceProfile", { SpeakerSearchTaskId: task });
const { VoiceProfileId } = VoiceProfile;
await voice("GetVoiceProfile", { VoiceProfileId });
const { VoiceProfiles } = await voice("ListVoiceProfiles", { VoiceProfileDomainId });
assert.deepEqual(VoiceProfiles.map((one) => one.VoiceProfileId), [VoiceProfileId]);

// A later call of 20 s of speech or more renews the profile with a voiceprint of its own.
task = await startTask();
send("first-calls/kal.flac");
await waitUntilStopped(task);
await voice("UpdateVoiceProfile", { VoiceProfileId, SpeakerSearchTaskId: task });

// The media of both calls, from its beginning, and some fragments of it. EBML is what Matroska begins with.
const EBML = "1a45dfa3";
async function endpointFor(APIName) {
  return { endpoint: (await kinesis("GetDataEndpoint", { StreamARN, APIName })).DataEndpoint };
}
const beginning = (bytes) => Buffer.from(bytes.subarray(0, 4)).toString("hex");

const mediaClient = new mediaSdk.KinesisVideoMediaClient(await endpointFor("GET_MEDIA"));
const media = caller("kinesis-video-media", mediaSdk, mediaClient);
const live = await media("GetMedia", { StreamARN, StartSelector: { StartSelectorType: "EARLIEST" } });
for await (const bytes of live.Payload) {
  assert.equal(beginning(bytes), EBML);
  break; // more comes as long as the call goes on
}
const archiveClient = new archiveSdk.KinesisVideoArchivedMediaClient(await endpointFor("LIST_FRAGMENTS"));
const archive = caller("kinesis-video-archived-media", archiveSdk, archiveClient);
const now = Date.now();
const TimestampRange = { StartTimestamp: new Date(now - 3_600_000), EndTimestamp: new Date(now + 1_000) };
const FragmentSelector = { FragmentSelectorType: "SERVER_TIMESTAMP", TimestampRange };
const { Fragments } = await archive("ListFragments", { StreamARN, FragmentSelector });
const numbers = Fragments.map((one) => one.FragmentNumber).sort();
const { Payload } = await archive("GetMediaForFragmentList", { StreamARN, Fragments: numbers.slice(0, 3) });
assert.equal(beginning(await Payload.transformToByteArray()), EBML);

// A task that is stopped before it heard anything, and a pause.
task = await startTask();
await pipelines("StopSpeakerSearchTask", { Identifier: MediaPipelineArn, SpeakerSearchTaskId: task });
await waitUntilStopped(task);
await pipelines("UpdateMediaInsightsPipelineStatus", { Identifier: MediaPipelineArn, UpdateStatus: "Pause" });
await pipelines("UpdateMediaInsightsPipelineStatus", { Identifier: MediaPipelineId, UpdateStatus: "Resume" });

// A Voice Connector, and a call that a phone system hands over to it: here `earwitness call`, as Twilio does.
const trunk = { Name: name, RequireEncryption: false };
const { VoiceConnectorId } = (await voice("CreateVoiceConnector", trunk)).VoiceConnector;
await voice("GetVoiceConnector", { VoiceConnectorId });
await voice("UpdateVoiceConnector", { VoiceConnectorId, ...trunk });
await voice("ListVoiceConnectors", {});
const MediaInsightsConfiguration = { Disabled: false, ConfigurationArn: configuration };
const StreamingConfiguration = { DataRetentionInHours: 1, Disabled: false, MediaInsightsConfiguration };
await voice("PutVoiceConnectorStreamingConfiguration", { VoiceConnectorId, StreamingConfiguration });
await voice("GetVoiceConnectorStreamingConfiguration", { VoiceConnectorId });

// The call's pipeline tells its transaction; a program learns it from the event AnalyticsReady.
async function transactionOf(VoiceConnectorId) {
  for (let tries = 0; tries < 600; tries++) {
    const { MediaPipelines } = await pipelines("ListMediaPipelines", {});
    const newest = await pipelines("GetMediaPipeline", { MediaPipelineId: MediaPipelines[0].MediaPipelineId });
    const metadata = newest.MediaPipeline.MediaInsightsPipeline.MediaInsightsRuntimeMetadata ?? {};
    if (metadata.voiceConnectorId === VoiceConnectorId) return metadata.transactionId;
    await sleep(100);
  }
  assert.fail("the call did not begin within a minute");
}

const recording = fileURLToPath(new URL("../../src/earwitness/samples/first-calls/kal.flac", import.meta.url));
const door = `${process.env.AWS_ENDPOINT_URL.replace("http", "ws")}/doors/${VoiceConnectorId}/twilio`;
const call = spawn("earwitness", ["call", recording, "--to", door], { stdio: "ignore" });
const hungUp = once(call, "exit");
const TransactionId = await transactionOf(VoiceConnectorId);
const { SpeakerSearchTask } = await voice("StartSpeakerSearchTask", {
  VoiceConnectorId,
  TransactionId,
  VoiceProfileDomainId,
});
const listening = { VoiceConnectorId, SpeakerSearchTaskId: SpeakerSearchTask.SpeakerSearchTaskId };
await voice("GetSpeakerSearchTask", listening);
await voice("StopSpeakerSearchTask", listening);
await hungUp;
await voice("DeleteVoiceConnectorStreamingConfiguration", { VoiceConnectorId });
await voice("DeleteVoiceConnector", { VoiceConnectorId });

await pipelines("DeleteMediaPipeline", { MediaPipelineId });
await pipelines("DeleteMediaInsightsPipelineConfiguration", { Identifier: name });
await voice("DeleteVoiceProfile", { VoiceProfileId });
await voice("DeleteVoiceProfileDomain", { VoiceProfileDomainId });
await kinesis("DeleteStream", { StreamARN });
