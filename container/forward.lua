-- Sends each CT series to the node when no more of it arrives. What the node makes of it is of other modalities.
function OnStableSeries(series, tags, metadata)
   if tags["Modality"] == "CT" then
      RestApiPost("/modalities/whsfast/store", DumpJson({Resources = {series}, Synchronous = false}))
   end
end
