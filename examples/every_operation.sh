#!/usr/bin/env bash
# Every operation, with the AWS CLI; PutMedia, which it does not have, with `earwitness stream`.
# Needs `aws`, `earwitness` and the variables of every_operation.py.
set -euo pipefail

name="every-operation-$RANDOM-$$"
samples="$(dirname "$0")/../src/earwitness/samples"
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
field() { aws "$@" --output text; }

say() { echo "ok $1 $2"; }

stream=$(field kinesisvideo create-stream --stream-name "$name" --data-retention-in-hours 1 --query StreamARN)
say kinesisvideo CreateStream
version=$(field kinesisvideo describe-stream --stream-name "$name" --query StreamInfo.Version)
say kinesisvideo DescribeStream
aws kinesisvideo update-stream --stream-arn "$stream" --current-version "$version" --media-type audio/L16
say kinesisvideo UpdateStream
version=$(field kinesisvideo describe-stream --stream-name "$name" --query StreamInfo.Version)
aws kinesisvideo update-data-retention --stream-arn "$stream" --current-version "$version" \
    --operation INCREASE_DATA_RETENTION --data-retention-change-in-hours 1
say kinesisvideo UpdateDataRetention
field kinesisvideo list-streams --query 'StreamInfoList[].StreamName' | grep -q "$name"
say kinesisvideo ListStreams
aws kinesisvideo tag-stream --stream-arn "$stream" --tags site=berlin
say kinesisvideo TagStream
test "$(field kinesisvideo list-tags-for-stream --stream-arn "$stream" --query Tags.site)" = berlin
say kinesisvideo ListTagsForStream
aws kinesisvideo untag-stream --stream-arn "$stream" --tag-key-list site
say kinesisvideo UntagStream
field kinesisvideo get-data-endpoint --stream-arn "$stream" --api-name PUT_MEDIA --query DataEndpoint | grep -q ^http
say kinesisvideo GetDataEndpoint

for setting in image-generation notification mapped-resource stream-storage; do
    aws kinesisvideo describe-$setting-configuration --stream-arn "$stream" >/dev/null
done
say kinesisvideo DescribeImageGenerationConfiguration
say kinesisvideo DescribeNotificationConfiguration
say kinesisvideo DescribeMappedResourceConfiguration
say kinesisvideo DescribeStreamStorageConfiguration
aws kinesisvideo update-image-generation-configuration --stream-arn "$stream"
say kinesisvideo UpdateImageGenerationConfiguration
aws kinesisvideo update-notification-configuration --stream-arn "$stream"
say kinesisvideo UpdateNotificationConfiguration
aws kinesisvideo describe-media-storage-configuration --channel-name "$name" >/dev/null
say kinesisvideo DescribeMediaStorageConfiguration
aws kinesisvideo tag-resource --resource-arn "$stream" --tags Key=line,Value=1
say kinesisvideo TagResource
test "$(field kinesisvideo list-tags-for-resource --resource-arn "$stream" --query Tags.line)" = 1
say kinesisvideo ListTagsForResource
aws kinesisvideo untag-resource --resource-arn "$stream" --tag-key-list line
say kinesisvideo UntagResource

key=arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555
domain=$(field chime-sdk-voice create-voice-profile-domain --name "$name" \
    --server-side-encryption-configuration "KmsKeyArn=$key" --query VoiceProfileDomain.VoiceProfileDomainId)
say chime-sdk-voice CreateVoiceProfileDomain
domain_arn=$(field chime-sdk-voice get-voice-profile-domain --voice-profile-domain-id "$domain" \
    --query VoiceProfileDomain.VoiceProfileDomainArn)
say chime-sdk-voice GetVoiceProfileDomain
aws chime-sdk-voice update-voice-profile-domain --voice-profile-domain-id "$domain" --description hotline >/dev/null
say chime-sdk-voice UpdateVoiceProfileDomain
field chime-sdk-voice list-voice-profile-domains --query 'VoiceProfileDomains[].VoiceProfileDomainId' | grep -q "$domain"
say chime-sdk-voice ListVoiceProfileDomains
aws chime-sdk-voice tag-resource --resource-arn "$domain_arn" --tags Key=team,Value=fraud
say chime-sdk-voice TagResource
test "$(field chime-sdk-voice list-tags-for-resource --resource-arn "$domain_arn" --query 'Tags[0].Value')" = fraud
say chime-sdk-voice ListTagsForResource
aws chime-sdk-voice untag-resource --resource-arn "$domain_arn" --tag-keys team
say chime-sdk-voice UntagResource

service=chime-sdk-media-pipelines
role=arn:aws:iam::000000000000:role/earwitness
elements='[{"Type":"VoiceAnalyticsProcessor","VoiceAnalyticsProcessorConfiguration":{"SpeakerSearchStatus":"Enabled"}}]'
configuration=$(field $service create-media-insights-pipeline-configuration \
    --media-insights-pipeline-configuration-name "$name" --resource-access-role-arn "$role" --elements "$elements" \
    --query MediaInsightsPipelineConfiguration.MediaInsightsPipelineConfigurationArn)
say $service CreateMediaInsightsPipelineConfiguration
aws $service get-media-insights-pipeline-configuration --identifier "$configuration" >/dev/null
say $service GetMediaInsightsPipelineConfiguration
aws $service update-media-insights-pipeline-configuration --identifier "$name" --resource-access-role-arn "$role" \
    --elements "$elements" >/dev/null
say $service UpdateMediaInsightsPipelineConfiguration
aws $service list-media-insights-pipeline-configurations >/dev/null
say $service ListMediaInsightsPipelineConfigurations
source='{"MediaEncoding":"pcm","MediaSampleRate":8000,"Streams":[{"StreamArn":"'$stream'","StreamChannelDefinition":
    {"NumberOfChannels":1,"ChannelDefinitions":[{"ChannelId":0}]}}]}'
pipeline=$(field $service create-media-insights-pipeline --media-insights-pipeline-configuration-arn "$configuration" \
    --kinesis-video-stream-source-runtime-configuration "$source" --query MediaInsightsPipeline.MediaPipelineId)
say $service CreateMediaInsightsPipeline
arn=$(field $service get-media-pipeline --media-pipeline-id "$pipeline" \
    --query MediaPipeline.MediaInsightsPipeline.MediaPipelineArn)
say $service GetMediaPipeline
aws $service list-media-pipelines >/dev/null
say $service ListMediaPipelines
aws $service tag-resource --resource-arn "$arn" --tags Key=call,Value=1
say $service TagResource
test "$(field $service list-tags-for-resource --resource-arn "$arn" --query 'Tags[0].Value')" = 1
say $service ListTagsForResource
aws $service untag-resource --resource-arn "$arn" --tag-keys call
say $service UntagResource

start_task() {
    field $service start-speaker-search-task --identifier "$arn" --voice-profile-domain-arn "$domain_arn" \
        --query SpeakerSearchTask.SpeakerSearchTaskId
}
wait_until_stopped() {
    for _ in {1..60}; do
        test "$(field $service get-speaker-search-task --identifier "$pipeline" --speaker-search-task-id "$1" \
            --query SpeakerSearchTask.SpeakerSearchTaskStatus)" = Stopped && return
        sleep 0.5
    done
    echo "the task did not stop in time" >&2
    return 1
}

# A call is heard: the task stops by itself when it has a voiceprint. The caller consents, and is enrolled.
task=$(start_task)
say $service StartSpeakerSearchTask
earwitness stream "$samples/first-calls/kal.flac" --stream "$name" --fast
say kinesis-video-media PutMedia
wait_until_stopped "$task"
say $service GetSpeakerSearchTask
profile=$(field chime-sdk-voice create-voice-profile --speaker-search-task-id "$task" \
    --query VoiceProfile.VoiceProfileId)
say chime-sdk-voice CreateVoiceProfile
aws chime-sdk-voice get-voice-profile --voice-profile-id "$profile" >/dev/null
say chime-sdk-voice GetVoiceProfile
test "$(field chime-sdk-voice list-voice-profiles --voice-profile-domain-id "$domain" \
    --query 'VoiceProfiles[].VoiceProfileId')" = "$profile"
say chime-sdk-voice ListVoiceProfiles

# A later call of 20 s of speech or more renews the profile with a voiceprint of its own.
task=$(start_task)
earwitness stream "$samples/first-calls/kal.flac" --stream "$name" --fast
wait_until_stopped "$task"
aws chime-sdk-voice update-voice-profile --voice-profile-id "$profile" --speaker-search-task-id "$task" >/dev/null
say chime-sdk-voice UpdateVoiceProfile

# The media of both calls, from its beginning (it ends three seconds after the last), and two fragments of it.
endpoint() { field kinesisvideo get-data-endpoint --stream-arn "$stream" --api-name "$1" --query DataEndpoint; }
aws kinesis-video-media get-media --endpoint-url "$(endpoint GET_MEDIA)" --stream-arn "$stream" \
    --start-selector StartSelectorType=EARLIEST "$folder/calls.mkv" >/dev/null
test -s "$folder/calls.mkv"
say kinesis-video-media GetMedia
now=$(date +%s)
hour="StartTimestamp=$((now - 3600)),EndTimestamp=$((now + 1))"
read -r -a fragments < <(field kinesis-video-archived-media list-fragments --stream-arn "$stream" \
    --fragment-selector "FragmentSelectorType=SERVER_TIMESTAMP,TimestampRange={$hour}" \
    --endpoint-url "$(endpoint LIST_FRAGMENTS)" --query 'Fragments[:2].FragmentNumber')
say kinesis-video-archived-media ListFragments
aws kinesis-video-archived-media get-media-for-fragment-list --fragments "${fragments[@]}" --stream-arn "$stream" \
    --endpoint-url "$(endpoint GET_MEDIA_FOR_FRAGMENT_LIST)" "$folder/fragments.mkv" >/dev/null
test -s "$folder/fragments.mkv"
say kinesis-video-archived-media GetMediaForFragmentList

# A task that is stopped before it heard anything, and a pause.
task=$(start_task)
aws $service stop-speaker-search-task --identifier "$arn" --speaker-search-task-id "$task"
say $service StopSpeakerSearchTask
wait_until_stopped "$task"
aws $service update-media-insights-pipeline-status --identifier "$arn" --update-status Pause
aws $service update-media-insights-pipeline-status --identifier "$pipeline" --update-status Resume
say $service UpdateMediaInsightsPipelineStatus

# A Voice Connector, and a call that a phone system hands over to it: here `earwitness call`, as Twilio does. Its pipeline
# tells the transaction; a program learns it from the event AnalyticsReady.
voice=chime-sdk-voice
connector=$(field $voice create-voice-connector --name "$name" --no-require-encryption \
    --query VoiceConnector.VoiceConnectorId)
say $voice CreateVoiceConnector
aws $voice get-voice-connector --voice-connector-id "$connector" >/dev/null
say $voice GetVoiceConnector
aws $voice update-voice-connector --voice-connector-id "$connector" --name "$name-trunk" --no-require-encryption >/dev/null
say $voice UpdateVoiceConnector
field $voice list-voice-connectors --query 'VoiceConnectors[].VoiceConnectorId' | grep -q "$connector"
say $voice ListVoiceConnectors
streaming='{"DataRetentionInHours":1,"Disabled":false,
    "MediaInsightsConfiguration":{"Disabled":false,"ConfigurationArn":"'$configuration'"}}'
aws $voice put-voice-connector-streaming-configuration --voice-connector-id "$connector" \
    --streaming-configuration "$streaming" >/dev/null
say $voice PutVoiceConnectorStreamingConfiguration
aws $voice get-voice-connector-streaming-configuration --voice-connector-id "$connector" >/dev/null
say $voice GetVoiceConnectorStreamingConfiguration
earwitness call "$samples/first-calls/kal.flac" --to "${AWS_ENDPOINT_URL/http/ws}/doors/$connector/twilio" &
call=$!
transaction=None
for _ in {1..60}; do
    newest=$(field $service list-media-pipelines --query 'MediaPipelines[0].MediaPipelineId')
    transaction=$(field $service get-media-pipeline --media-pipeline-id "$newest" \
        --query MediaPipeline.MediaInsightsPipeline.MediaInsightsRuntimeMetadata.transactionId)
    test "$transaction" != None && break
    sleep 0.5
done
task=$(field $voice start-speaker-search-task --voice-connector-id "$connector" --transaction-id "$transaction" \
    --voice-profile-domain-id "$domain" --query SpeakerSearchTask.SpeakerSearchTaskId)
say $voice StartSpeakerSearchTask
aws $voice get-speaker-search-task --voice-connector-id "$connector" --speaker-search-task-id "$task" >/dev/null
say $voice GetSpeakerSearchTask
aws $voice stop-speaker-search-task --voice-connector-id "$connector" --speaker-search-task-id "$task"
say $voice StopSpeakerSearchTask
wait "$call"
aws $voice delete-voice-connector-streaming-configuration --voice-connector-id "$connector"
say $voice DeleteVoiceConnectorStreamingConfiguration
aws $voice delete-voice-connector --voice-connector-id "$connector"
say $voice DeleteVoiceConnector

aws $service delete-media-pipeline --media-pipeline-id "$pipeline"
say $service DeleteMediaPipeline
aws $service delete-media-insights-pipeline-configuration --identifier "$name"
say $service DeleteMediaInsightsPipelineConfiguration
aws chime-sdk-voice delete-voice-profile --voice-profile-id "$profile"
say chime-sdk-voice DeleteVoiceProfile
aws chime-sdk-voice delete-voice-profile-domain --voice-profile-domain-id "$domain"
say chime-sdk-voice DeleteVoiceProfileDomain
aws kinesisvideo delete-stream --stream-arn "$stream"
say kinesisvideo DeleteStream
