// The operations that need no call in progress, with the AWS SDK for JavaScript v3.
// npm install, then run with the variables of every_operation.py set.
import assert from "node:assert/strict";
import * as pipelinesSdk from "@aws-sdk/client-chime-sdk-media-pipelines";
import * as voiceSdk from "@aws-sdk/client-chime-sdk-voice";
import * as kinesisSdk from "@aws-sdk/client-kinesis-video";

const pipelines = caller("chime-sdk-media-pipelines", pipelinesSdk, new pipelinesSdk.ChimeSDKMediaPipelinesClient());
const voice = caller("chime-sdk-voice", voiceSdk, new voiceSdk.ChimeSDKVoiceClient());
const kinesis = caller("kinesisvideo", kinesisSdk, new kinesisSdk.KinesisVideoClient());
const name = `every-operation-${process.pid}-${Date.now()}`;

function caller(service, sdk, client) {
  return async (operation, input) => {
    try {
      return await client.send(new sdk[`${operation}Command`](input));
    } finally {
      console.log("ok", service, operation);
    }
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
await voice("ListVoiceProfiles", { VoiceProfileDomainId });
await voice("TagResource", { ResourceARN: VoiceProfileDomainArn, Tags: [{ Key: "team", Value: "fraud" }] });
const { Tags } = await voice("ListTagsForResource", { ResourceARN: VoiceProfileDomainArn });
assert.deepEqual(Tags, [{ Key: "team", Value: "fraud" }]);
await voice("UntagResource", { ResourceARN: VoiceProfileDomainArn, TagKeys: ["team"] });
await assert.rejects(voice("GetVoiceProfile", { VoiceProfileId: "vp-nobody" }), voiceSdk.NotFoundException);
await assert.rejects(voice("DeleteVoiceProfile", { VoiceProfileId: "vp-nobody" }), voiceSdk.NotFoundException);

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
let { SpeakerSearchTask } = await pipelines("StartSpeakerSearchTask", {
  Identifier: MediaPipelineArn,
  VoiceProfileDomainArn,
});
const { SpeakerSearchTaskId } = SpeakerSearchTask;
await pipelines("StopSpeakerSearchTask", { Identifier: MediaPipelineArn, SpeakerSearchTaskId });
while (SpeakerSearchTask.SpeakerSearchTaskStatus !== "Stopped") {
  ({ SpeakerSearchTask } = await pipelines("GetSpeakerSearchTask", { Identifier: MediaPipelineId, SpeakerSearchTaskId }));
}
await pipelines("UpdateMediaInsightsPipelineStatus", { Identifier: MediaPipelineArn, UpdateStatus: "Pause" });
await pipelines("UpdateMediaInsightsPipelineStatus", { Identifier: MediaPipelineId, UpdateStatus: "Resume" });

await pipelines("DeleteMediaPipeline", { MediaPipelineId });
await pipelines("DeleteMediaInsightsPipelineConfiguration", { Identifier: name });
await voice("DeleteVoiceProfileDomain", { VoiceProfileDomainId });
await kinesis("DeleteStream", { StreamARN });
